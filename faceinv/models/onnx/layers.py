"""ONNX operators with weights: convolutions, products, normalisation and PReLU as PyTorch layers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.errors import WeightsError
from faceinv.models.onnx.call import Bound, Call, UnsupportedError, floating
from faceinv.models.prelu import FrozenPReLU


def padding(call: Call, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]) -> list[int]:
    """Return the padding of a window as ``(left, right, top, bottom)``, the order of :func:`torch.nn.functional.pad`.

    ``SAME_UPPER`` and ``SAME_LOWER`` depend on the size of the map (ONNX, operator ``Conv``).
    """
    rank = len(kernel)
    automatic = call.get("auto_pad", "NOTSET")
    pads = list(call.integers("pads") or [0] * (2 * rank))
    if automatic.startswith("SAME"):
        before, after = [], []
        for side, window, stride, dilation in zip(call.tensor().shape[2:], kernel, strides, dilations, strict=True):
            total = max(0, (-(-side // stride) - 1) * stride + (window - 1) * dilation + 1 - side)
            small, large = total // 2, total - total // 2
            before.append(small if automatic == "SAME_UPPER" else large)
            after.append(large if automatic == "SAME_UPPER" else small)
        pads = before + after
    elif automatic == "VALID":
        pads = [0] * (2 * rank)
    if len(pads) != 2 * rank or min(pads) < 0:
        raise WeightsError(f"{call.operator} has the pads {pads}")
    return [side for axis in reversed(range(rank)) for side in (pads[axis], pads[rank + axis])]


def window(call: Call, kernel: Sequence[int]) -> tuple[list[int], list[int], list[int]]:
    """Return strides, dilations and padding of a window."""
    strides = list(call.integers("strides") or [1] * len(kernel))
    dilations = list(call.integers("dilations") or [1] * len(kernel))
    if not len(strides) == len(dilations) == len(kernel) or min(*strides, *dilations, *kernel) < 1:
        raise WeightsError(f"{call.operator} has the strides {strides} and the dilations {dilations}")
    return strides, dilations, padding(call, kernel, strides, dilations)


def conv(call: Call) -> nn.Module:
    """Translate ``Conv`` on maps."""
    weight = call.constant(1)
    if weight is None or weight.ndim != 4 or call.tensor().ndim != 4:
        raise UnsupportedError("Conv other than on maps")
    strides, dilations, pads = window(call, weight.shape[2:])
    groups = call.get("group", 1)
    channels = weight.shape[1] * groups
    if groups < 1 or weight.shape[0] % groups or call.tensor().shape[1] != channels:
        raise WeightsError(f"Conv has weights {tuple(weight.shape)} for {call.tensor().shape[1]} channels")
    left, right, top, bottom = pads
    even = left == right and top == bottom
    with torch.device("meta"):
        layer = nn.Conv2d(
            channels,
            weight.shape[0],
            (weight.shape[2], weight.shape[3]),
            (strides[0], strides[1]),
            (top, left) if even else 0,
            (dilations[0], dilations[1]),
            groups,
            bias=call.optional(2) is not None,
        )
    layer.weight = _parameter(weight)
    if call.optional(2) is not None:
        layer.bias = _vector(call, 2, weight.shape[0])
    return layer if even else nn.Sequential(nn.ZeroPad2d((left, right, top, bottom)), layer)


def batch_normalization(call: Call) -> nn.Module:
    """Translate ``BatchNormalization`` in evaluation mode."""
    if call.get("training_mode", 0) or not call.get("spatial", 1):
        raise UnsupportedError("BatchNormalization in training mode or per pixel")
    x = call.tensor()
    if x.ndim not in (2, 4):
        raise UnsupportedError(f"BatchNormalization of {x.ndim} axes")
    with torch.device("meta"):
        kind = nn.BatchNorm2d if x.ndim == 4 else nn.BatchNorm1d
        norm = kind(x.shape[1], call.get("epsilon", 1e-5))
    norm.weight, norm.bias = (_vector(call, place, x.shape[1]) for place in (1, 2))
    norm.running_mean, norm.running_var = (_vector(call, place, x.shape[1]).data for place in (3, 4))
    norm.num_batches_tracked = torch.zeros((), dtype=torch.long)
    return norm.eval()


def prelu(call: Call) -> nn.Module:
    """Translate ``PRelu``; the slopes of channels are found as ``(C, 1, 1)``, ``(1, C, 1, 1)`` and ``(C,)``."""
    slope = call.constant(1)
    if slope is None:
        raise WeightsError("PRelu lacks its slopes")
    x, slope = call.tensor(), floating(slope)
    channels = x.shape[1] if x.ndim > 1 else 0
    # A vector broadcasts along the last axis; exporters that mean channels write one that does not fit there.
    along_last = slope.ndim == 1 and x.ndim > 2 and slope.numel() == x.shape[-1]
    per_channel = slope.numel() == channels and not along_last and max(slope.shape, default=1) == channels
    placed = slope.ndim == 1 or tuple(slope.shape[-x.ndim + 1 :]) == (channels, *[1] * (x.ndim - 2))
    if slope.numel() == 1 or (per_channel and placed):
        layer = FrozenPReLU(slope.numel(), device="meta")
        layer.weight = _parameter(slope.reshape(-1))
        return layer
    return Bound(lambda x, slope: torch.where(x >= 0, x, slope * x), (None, slope))


def gemm(call: Call) -> nn.Module:
    """Translate ``Gemm``, ``alpha A B + beta C``, as a fully connected layer if B is constant."""
    alpha, beta = call.get("alpha", 1.0), call.get("beta", 1.0)
    if call.get("transA", 0) or call.tensor().is_meta is False:
        raise UnsupportedError("Gemm with a constant or transposed first matrix")
    weight = call.constant(1)
    if weight is None or weight.ndim != 2:
        raise WeightsError("Gemm lacks its matrix")
    rows = floating(weight if call.get("transB", 0) else weight.T)
    if call.tensor().ndim != 2 or call.tensor().shape[1] != rows.shape[1]:
        raise WeightsError(f"Gemm has a matrix {tuple(weight.shape)} for {tuple(call.tensor().shape)}")
    shift = call.constant(2)
    layer = nn.Linear(rows.shape[1], rows.shape[0], bias=shift is not None, device="meta")
    layer.weight = _parameter(rows * alpha if alpha != 1 else rows)
    if shift is not None:
        if shift.numel() not in (1, rows.shape[0]):
            raise UnsupportedError(f"Gemm with an addend {tuple(shift.shape)}")
        layer.bias = _parameter(floating(shift).reshape(-1).expand(rows.shape[0]) * beta)
    return layer


def layer_normalization(call: Call) -> nn.Module:
    """Translate ``LayerNormalization`` over the last axes."""
    shape = list(call.tensor().shape[call.axis(-1) :])
    epsilon = call.get("epsilon", 1e-5)
    scale, shift = call.constant(1), call.constant(2)
    given = tuple(None if value is None else floating(value) for value in (scale, shift))
    if given[1] is None:
        return Bound(lambda x, scale: F.layer_norm(x, shape, scale, None, epsilon), (None, given[0]))
    return Bound(lambda x, scale, shift: F.layer_norm(x, shape, scale, shift, epsilon), (None, *given))


def _vector(call: Call, place: int, length: int) -> nn.Parameter:
    value = call.constant(place)
    if value is None or value.numel() != length:
        raise WeightsError(f"{call.operator} has {0 if value is None else value.numel()} numbers for {length} channels")
    return _parameter(value.reshape(-1))


def _parameter(value: Tensor) -> nn.Parameter:
    # A copy: layers are scaled in place when a norm is folded into them, and files share tensors between layers.
    return nn.Parameter(value.detach().float().clone(), requires_grad=False)
