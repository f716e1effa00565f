"""Folding batch normalisation into a frozen neighbour: the same function, fewer operations."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def fold_norm(layer: Layer, norm: Norm) -> Layer:
    """Change ``layer``, in place, to do what it did followed by ``norm`` in evaluation; return it.

    With ``s = gamma / sqrt(var + eps)``: ``weight' = s * weight``, ``bias' = s * (bias - mean) + beta``
    (Ioffe, Szegedy 2015, algorithm 2). ``s`` and ``bias'`` are computed in float64; the weights are
    scaled where they lie, for fresh memory costs more than the arithmetic, and frozen.

    Args:
        layer: Convolution or fully connected layer with as many outputs as ``norm`` has channels.
        norm: Batch normalisation with running statistics, with or without an affine part.

    Raises:
        ValueError: ``norm`` keeps no running statistics.
    """
    scale, shift = affine_of(norm)
    if layer.bias is not None:
        shift = shift + scale * layer.bias.detach().double()
    return _scale(layer, scale.view(-1, *[1] * (layer.weight.ndim - 1)), shift)


def fold_norm_before(norm: Norm, layer: nn.Linear) -> nn.Linear:
    """Change ``layer``, in place, to do what ``norm`` followed by it did in evaluation; return it.

    Where ``norm`` works on a map ``(B, C, H, W)`` that is flattened before ``layer``, each of its
    channels stands for ``H * W`` neighbouring inputs. There is no such fold into a padded convolution:
    the zeros of the padding come after the normalisation.

    Raises:
        ValueError: ``norm`` keeps no running statistics.
    """
    scale, shift = affine_of(norm)
    repeats = layer.in_features // len(scale)
    scale, shift = scale.repeat_interleave(repeats), shift.repeat_interleave(repeats)
    bias = layer.weight.detach().double() @ shift
    if layer.bias is not None:
        bias = bias + layer.bias.detach().double()
    return _scale(layer, scale, bias)


def affine_of(norm: Norm) -> tuple[Tensor, Tensor]:
    """Return float64 ``(scale, shift)``, each ``(C,)``: ``norm(x) = scale * x + shift`` in evaluation.

    Raises:
        ValueError: ``norm`` keeps no running statistics.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("Only a normalisation with running statistics is a fixed scale and shift.")
    scale = (variance.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -scale * mean.double()
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def _scale(layer: Layer, scale: Tensor, bias: Tensor) -> Layer:
    layer.weight.requires_grad_(False).mul_(scale.to(layer.weight.dtype))
    layer.bias = nn.Parameter(bias.to(layer.weight.dtype), requires_grad=False)
    return layer
