"""ONNX operators that compute without weights of their own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial, reduce

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError
from faceinv.models.onnx.call import Call, Function, UnsupportedError
from faceinv.models.onnx.layers import window

#: Element-wise functions without attributes.
ELEMENTWISE: Mapping[str, Callable[..., Tensor]] = {
    "Abs": torch.abs, "Add": torch.add, "Ceil": torch.ceil, "Cos": torch.cos, "Equal": torch.eq, "Erf": torch.erf,
    "Exp": torch.exp, "Floor": torch.floor, "Greater": torch.gt, "HardSwish": F.hardswish, "Less": torch.lt,
    "Log": torch.log, "MatMul": torch.matmul, "Mish": F.mish, "Mul": torch.mul, "Neg": torch.neg,
    "Not": torch.logical_not, "Pow": torch.pow, "Reciprocal": torch.reciprocal, "Relu": torch.relu,
    "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin, "Softplus": F.softplus,
    "Softsign": F.softsign, "Sqrt": torch.sqrt, "Sub": torch.sub, "Tanh": torch.tanh, "Where": torch.where,
}  # fmt: skip

_REDUCED: Mapping[str, Callable[..., Tensor]] = {
    "ReduceL1": lambda x, axes, keep: x.abs().sum(axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.linalg.vector_norm(x, 2, axes, keep),
    "ReduceMax": lambda x, axes, keep: x.amax(axes, keep),
    "ReduceMean": lambda x, axes, keep: x.mean(axes, keep),
    "ReduceMin": lambda x, axes, keep: x.amin(axes, keep),
    "ReduceSum": lambda x, axes, keep: x.sum(axes, keep),
    "ReduceSumSquare": lambda x, axes, keep: x.square().sum(axes, keep),
}
REDUCTIONS = tuple(_REDUCED)
_CAST = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float32, 11: torch.float32}


def elementwise(call: Call) -> Function:
    """Translate an element-wise operator or a product of matrices."""
    return ELEMENTWISE[call.operator]


def identity(call: Call) -> Function:
    """Translate what does nothing in a frozen network."""
    return _unchanged


def _unchanged(x: Tensor) -> Tensor:
    # A function of the module can be pickled; a lambda cannot.
    return x


def division(call: Call) -> Function:
    """Translate ``Div``, which truncates whole numbers."""
    whole = not call.tensor(0).is_floating_point() and not call.tensor(1).is_floating_point()
    return partial(torch.div, rounding_mode="trunc" if whole else None)


def reduction(call: Call) -> Function:
    """Translate a reduction over axes, by default all of them."""
    x, axes = call.tensor(), call.integers("axes", 1)
    if not axes:
        if call.get("noop_with_empty_axes", 0):
            return identity(call)
        axes = tuple(range(x.ndim))
    if any(not -x.ndim <= axis < x.ndim for axis in axes):
        raise WeightsError(f"{call.operator} has the axes {axes}, but its input has {x.ndim}")
    if x.is_meta and any(axis % x.ndim == 0 for axis in axes):
        raise UnsupportedError(f"{call.operator} over the images")
    keep, function = bool(call.get("keepdims", 1)), _REDUCED[call.operator]
    return lambda x: function(x, axes, keep)


def many(call: Call) -> Function:
    """Translate ``Max``, ``Min``, ``Sum`` and ``Mean`` of any number of inputs."""
    pairwise = {"Max": torch.maximum, "Min": torch.minimum}.get(call.operator, torch.add)
    divisor = len(call.values) if call.operator == "Mean" else 1
    return lambda *parts: reduce(pairwise, parts) / divisor if divisor > 1 else reduce(pairwise, parts)


def clip(call: Call) -> Function:
    """Translate ``Clip``, whose bounds are attributes in old files."""
    bounds = []
    for place, name in ((1, "min"), (2, "max")):
        given = call.constant(place)
        found = call.attributes.get(name) if given is None else float(given)
        bounds.append(None if found is None else call.get(name, 0.0) if given is None else found)
    if bounds == [None, None]:
        return identity(call)
    return lambda x: x.clamp(bounds[0], bounds[1])


def leaky(call: Call) -> Function:
    """Translate ``LeakyRelu``, ``Elu``, ``Gelu`` and ``HardSigmoid``."""
    if call.operator == "LeakyRelu":
        return partial(F.leaky_relu, negative_slope=call.get("alpha", 0.01))
    if call.operator == "Elu":
        return partial(F.elu, alpha=call.get("alpha", 1.0))
    if call.operator == "Gelu":
        return partial(F.gelu, approximate=call.get("approximate", "none"))
    slope, shift = call.get("alpha", 0.2), call.get("beta", 0.5)
    return lambda x: (slope * x + shift).clamp(0, 1)


def softmax(call: Call) -> Function:
    """Translate ``Softmax``; before version 13 it runs over all axes from the given one on."""
    axis = call.axis(-1 if call.opset >= 13 else 1)
    if call.opset < 13:
        return lambda x: x.flatten(axis).softmax(-1).reshape(x.shape)
    return lambda x: x.softmax(axis)


def unit_length(call: Call) -> Function:
    """Translate ``LpNormalization``."""
    axis, order = call.axis(-1), call.get("p", 2)
    return lambda x: F.normalize(x, order, axis, eps=1e-30)  # zeros stay zeros, as in ONNX Runtime


def cast(call: Call) -> Function:
    """Translate ``Cast``; half precision is computed in 32 bits."""
    kind = _CAST.get(call.get("to", 1))
    if kind is None:
        raise UnsupportedError(f"Cast to type {call.get('to', 1)}")
    if call.tensor().is_meta and not kind.is_floating_point:
        raise UnsupportedError("Cast of activations to whole numbers")
    return identity(call) if call.tensor().is_floating_point() and kind.is_floating_point else lambda x: x.to(kind)


def pool(call: Call) -> Function:
    """Translate ``AveragePool`` and ``MaxPool`` on maps."""
    kernel = call.integers("kernel_shape") or ()
    if call.tensor().ndim != 4 or len(kernel) != 2 or call.outputs > 1:
        raise UnsupportedError(f"{call.operator} other than on maps")
    strides, dilations, (left, right, top, bottom) = window(call, kernel)
    up, counted = bool(call.get("ceil_mode", 0)), bool(call.get("count_include_pad", 0))
    even = left == right and top == bottom and 2 * left <= kernel[1] and 2 * top <= kernel[0]
    if call.operator == "MaxPool":
        if even:
            return lambda x: F.max_pool2d(x, kernel, strides, (top, left), dilations, up)
        padded = partial(F.pad, pad=(left, right, top, bottom), value=-math.inf)
        return lambda x: F.max_pool2d(padded(x), kernel, strides, 0, dilations, up)
    if max(dilations) > 1 or not even:
        raise UnsupportedError("AveragePool with dilation or uneven padding")
    return lambda x: F.avg_pool2d(x, kernel, strides, (top, left), up, counted)


def global_pool(call: Call) -> Function:
    """Translate ``GlobalAveragePool`` and ``GlobalMaxPool``."""
    axes = tuple(range(2, call.tensor().ndim))
    if call.operator == "GlobalAveragePool":
        return lambda x: x.mean(axes, keepdim=True)
    return lambda x: x.amax(axes, keepdim=True)


def dequantize(call: Call) -> Function:
    """Translate ``DequantizeLinear``: ``(x - zero) * scale``, per tensor, per channel or per block."""
    x, scale, axis = call.tensor(0), call.tensor(1), call.get("axis", 1)
    block = call.get("block_size", 0)
    spread = _spread(x, scale, axis, block, call.operator)

    def numbers(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        centred = x.to(scale.dtype) if zero is None else x.to(scale.dtype) - spread(zero.to(scale.dtype))
        return centred * spread(scale)

    return numbers


def quantize(call: Call) -> Function:
    """Translate ``QuantizeLinear`` of activations, with values kept as floats.

    Rounding has no useful gradient; it is passed on as if nothing was rounded (the straight-through estimator of
    Bengio, Léonard, Courville 2013, arXiv:1308.3432), and is zero where values are clipped.
    """
    x, scale, axis = call.tensor(0), call.tensor(1), call.get("axis", 1)
    spread = _spread(x, scale, axis, call.get("block_size", 0), call.operator)
    zero_point = call.optional(2)
    kind = torch.uint8 if zero_point is None else zero_point.dtype
    if kind not in (torch.uint8, torch.int8):
        raise UnsupportedError(f"QuantizeLinear to {kind}")
    low, high = (0, 255) if kind == torch.uint8 else (-128, 127)

    def rounded(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        value = x / spread(scale)
        value = value + (value.round() - value).detach()
        return (value if zero is None else value + spread(zero.to(x.dtype))).clamp(low, high)

    return rounded


def _spread(x: Tensor, scale: Tensor, axis: int, block: int, operator: str) -> Callable[[Tensor], Tensor]:
    """Return how a scale or zero point is brought to the shape of ``x``."""
    if scale.numel() == 1:
        return lambda given: given.reshape(())
    if not -x.ndim <= axis < x.ndim:
        raise WeightsError(f"{operator} has axis {axis} for {tuple(x.shape)}")
    axis, side = axis % x.ndim, x.shape[axis]
    if scale.ndim == 1 and x.ndim > 0 and not block:
        if len(scale) != side:
            raise WeightsError(f"{operator} has {len(scale)} scales for {side} channels")
        shape = [-1 if place == axis else 1 for place in range(x.ndim)]
        return lambda given: given.reshape(shape)
    expected = [-(-side // block) if place == axis else other for place, other in enumerate(x.shape)] if block else []
    if list(scale.shape) != expected:
        raise WeightsError(f"{operator} has scales {tuple(scale.shape)} in blocks of {block} for {tuple(x.shape)}")
    return lambda given: given.repeat_interleave(block, axis).narrow(axis, 0, side)
