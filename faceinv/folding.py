"""Folding batch normalisation into the frozen layer before it: the same function, fewer operations."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)


def fold_norm(layer: Layer, norm: nn.BatchNorm1d | nn.BatchNorm2d) -> Layer:
    """Return a layer that does what ``layer`` followed by ``norm`` does in evaluation.

    With ``s = gamma / sqrt(var + eps)``: ``weight' = s * weight``, ``bias' = s * (bias - mean) + beta``
    (Ioffe, Szegedy 2015, algorithm 2). Computed in float64 and rounded once.

    Args:
        layer: Convolution or fully connected layer with as many outputs as ``norm`` has channels.
        norm: Batch normalisation with running statistics, with or without an affine part.
    """
    scale, shift = _affine(norm)
    weight, bias = layer.weight.detach(), layer.bias
    offset = bias.detach().double() if bias is not None else torch.zeros_like(scale)
    folded_weight = weight.double() * scale.view(-1, *[1] * (weight.ndim - 1))
    return _with(layer, folded_weight, scale * offset + shift)


def fold_norm_before(norm: nn.BatchNorm1d | nn.BatchNorm2d, layer: nn.Linear) -> nn.Linear:
    """Return a layer that does what ``norm`` followed by a fully connected ``layer`` does in evaluation.

    Where ``norm`` works on a map ``(B, C, H, W)`` that is flattened before ``layer``, each of its
    channels stands for ``H * W`` neighbouring inputs. There is no such fold into a padded convolution:
    zeros of the padding lie behind the normalisation, not before it.
    """
    scale, shift = _affine(norm)
    repeats = layer.in_features // len(scale)
    scale, shift = scale.repeat_interleave(repeats), shift.repeat_interleave(repeats)
    weight = layer.weight.detach().double()
    offset = layer.bias.detach().double() if layer.bias is not None else torch.zeros(layer.out_features).double()
    return _with(layer, weight * scale, weight @ shift + offset)


def _affine(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("Only a normalisation with running statistics can be folded.")
    scale = (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -scale * mean.double()
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def _with(layer: Layer, weight: Tensor, bias: Tensor) -> Layer:
    """Return a layer of the same kind and settings with this ``weight`` and ``bias``."""
    if isinstance(layer, nn.Linear):
        made: nn.Module = nn.Linear(layer.in_features, layer.out_features, device="meta")
    else:
        made = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # always a pair for a Conv2d
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            layer.dilation,  # type: ignore[arg-type]
            layer.groups,
            padding_mode=layer.padding_mode,
            device="meta",
        )
    made.weight = nn.Parameter(weight.to(layer.weight.dtype), requires_grad=False)
    made.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=False)
    made.train(layer.training)
    return made  # type: ignore[return-value]
