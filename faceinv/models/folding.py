"""Batch normalisation folded into a neighbouring frozen layer: the same function with fewer operations."""

from __future__ import annotations

from typing import TypeVar

from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
Norm = nn.BatchNorm1d | nn.BatchNorm2d


def fold_norm(layer: Layer, norm: Norm) -> Layer:
    """Fold ``norm``, in evaluation mode, into the ``layer`` before it, in place; return ``layer``.

    With ``s = gamma / sqrt(var + eps)``: ``weight' = s * weight``, ``bias' = s * (bias - mean) + beta``
    (Ioffe, Szegedy 2015, algorithm 2). ``s`` and ``bias'`` are computed in float64. The weights are frozen, and scaled
    in place because allocating memory costs more than the arithmetic.

    Args:
        layer: Convolution or fully connected layer with as many outputs as ``norm`` has channels.
        norm: Batch normalisation with running statistics, with or without an affine part.

    Raises:
        ValueError: if ``norm`` keeps no running statistics.
    """
    scale, shift = affine_of(norm)
    if layer.bias is not None:
        shift = shift + scale * layer.bias.detach().double()
    return _scale(layer, scale.view(-1, *[1] * (layer.weight.ndim - 1)), shift)


def fold_norm_before(norm: Norm, layer: nn.Linear) -> nn.Linear:
    """Fold ``norm``, in evaluation mode, into the ``layer`` after it, in place; return ``layer``.

    If ``norm`` works on a map ``(B, C, H, W)`` that is flattened before ``layer``, each of its channels stands for
    ``H * W`` adjacent inputs. A norm cannot be folded into a padded convolution, whose zeros come after it.

    Raises:
        ValueError: if ``norm`` keeps no running statistics.
    """
    scale, shift = affine_of(norm)
    repeats = layer.in_features // len(scale)
    scale, shift = scale.repeat_interleave(repeats), shift.repeat_interleave(repeats)
    bias = layer.weight.detach().double() @ shift
    if layer.bias is not None:
        bias = bias + layer.bias.detach().double()
    return _scale(layer, scale, bias)


def affine_of(norm: Norm) -> tuple[Tensor, Tensor]:
    """Return float64 ``(scale, shift)``, each ``(C,)``, with ``norm(x) = scale * x + shift`` in evaluation mode.

    Raises:
        ValueError: if ``norm`` keeps no running statistics.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise ValueError("Only a normalisation with running statistics has a fixed scale and shift.")
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
