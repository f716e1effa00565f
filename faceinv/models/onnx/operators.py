"""The ONNX operators that are translated, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from faceinv.errors import WeightsError
from faceinv.models.onnx import arithmetic, layers, shapes
from faceinv.models.onnx.call import Call, Function, UnsupportedError

#: Operators that become a layer, which takes the first input alone.
LAYERS: Mapping[str, Callable[[Call], nn.Module]] = {
    "BatchNormalization": layers.batch_normalization,
    "Conv": layers.conv,
    "Gemm": layers.gemm,
    "LayerNormalization": layers.layer_normalization,
    "PRelu": layers.prelu,
}
#: Operators that become a function of the first input alone; the others are parameters.
UNARY: Mapping[str, Callable[[Call], Function]] = {
    "AveragePool": arithmetic.pool,
    "Cast": arithmetic.cast,
    "Clip": arithmetic.clip,
    "ConstantOfShape": shapes.constant_of_shape,
    "Dropout": arithmetic.identity,
    "Identity": arithmetic.identity,
    "Elu": arithmetic.leaky,
    "Expand": shapes.expand,
    "Flatten": shapes.flatten,
    "Gather": shapes.gather,
    "Gelu": arithmetic.leaky,
    "GlobalAveragePool": arithmetic.global_pool,
    "GlobalMaxPool": arithmetic.global_pool,
    "HardSigmoid": arithmetic.leaky,
    "LeakyRelu": arithmetic.leaky,
    "LpNormalization": arithmetic.unit_length,
    "MaxPool": arithmetic.pool,
    "Pad": shapes.pad,
    "Reshape": shapes.reshape,
    "Slice": shapes.slicing,
    "Softmax": arithmetic.softmax,
    "Split": shapes.split,
    "Squeeze": shapes.squeeze,
    "Tile": shapes.tile,
    "Transpose": shapes.transpose,
    "Unsqueeze": shapes.unsqueeze,
    **dict.fromkeys(arithmetic.REDUCTIONS, arithmetic.reduction),
}
#: Operators that become a function of all their inputs.
NARY: Mapping[str, Callable[[Call], Function]] = {
    "Concat": shapes.concat,
    "DequantizeLinear": arithmetic.dequantize,
    "Div": arithmetic.division,
    "Max": arithmetic.many,
    "Mean": arithmetic.many,
    "Min": arithmetic.many,
    "QuantizeLinear": arithmetic.quantize,
    "Sum": arithmetic.many,
    **dict.fromkeys(arithmetic.ELEMENTWISE, arithmetic.elementwise),
}
#: Control flow, which would make the network another function from image to image.
_CONTROL = ("If", "Loop", "Scan", "SequenceMap")


def known(operator: str) -> bool:
    """Return whether an operator is translated."""
    return operator in LAYERS or operator in UNARY or operator in NARY or operator in ("Constant", "Shape")


def reason(operators: list[str]) -> str:
    """Return why operators that are not known are not translated."""
    control = [name for name in operators if name in _CONTROL]
    named = ", ".join(dict.fromkeys(control or operators))
    return f"control flow ({named})" if control else f"the operators {named}" if "," in named else f"operator {named}"


def constant(call: Call) -> Tensor:
    """Return the value of a node ``Constant``.

    Raises:
        UnsupportedError: if it holds something other than numbers.
    """
    import torch

    for name in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        value = call.attributes.get(name)
        if isinstance(value, Tensor):
            return value
        if value is not None and not isinstance(value, str):
            return torch.tensor(value)
    raise UnsupportedError("a Constant that is not a tensor of numbers")


def checked(call: Call) -> None:
    """Raise :class:`WeightsError` if an operation lacks its first input."""
    if not call.values or call.values[0] is None:
        raise WeightsError(f"{call.operator} lacks its input")
