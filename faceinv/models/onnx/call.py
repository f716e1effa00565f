"""One operation of an ONNX graph while it is translated: what is known of its inputs, and its attributes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from faceinv.errors import WeightsError
from faceinv.weights.formats.onnx import Attribute

T = TypeVar("T")
#: A function of the operation's inputs that are tensors at run time.
Function = Callable[..., Tensor | tuple[Tensor, ...]]


class UnsupportedError(WeightsError):
    """An operation, or a use of one, that is not translated."""


@dataclass(frozen=True)
class Call:
    """One operation.

    Args:
        operator: Name of its operator.
        values: Its inputs: a real tensor if it is the same for all images, a tensor on the device ``meta`` if it
            depends on the images, ``None`` if it is left out.
        attributes: Its attributes.
        opset: Version of the operators.
        outputs: Number of its outputs.
    """

    operator: str
    values: tuple[Tensor | None, ...]
    attributes: Mapping[str, Attribute]
    opset: int
    outputs: int

    def get(self, name: str, default: T) -> T:
        """Return an attribute, of the type of its default."""
        value = self.attributes.get(name, default)
        if isinstance(default, float) and isinstance(value, int):
            value = float(value)
        if not isinstance(value, type(default)):
            raise WeightsError(f"the attribute '{name}' of {self.operator} is {type(value).__name__}")
        return value

    def integers(self, name: str, place: int = -1) -> tuple[int, ...] | None:
        """Return whole numbers that are an attribute or, in newer versions, the input at ``place``."""
        value = self.attributes.get(name)
        if isinstance(value, tuple):
            return tuple(int(number) for number in value)
        found = self.constant(place)
        return None if found is None else tuple(int(number) for number in found.reshape(-1).tolist())

    def constant(self, place: int) -> Tensor | None:
        """Return the input at ``place`` if it is given.

        Raises:
            UnsupportedError: if it depends on the images.
        """
        value = self.optional(place)
        if value is not None and value.is_meta:
            raise UnsupportedError(f"{self.operator} with an input {place} that depends on the images")
        return value

    def optional(self, place: int) -> Tensor | None:
        """Return the input at ``place``, real or on ``meta``; ``None`` if it is left out."""
        return self.values[place] if 0 <= place < len(self.values) else None

    def tensor(self, place: int = 0) -> Tensor:
        """Return the input at ``place``, real or on ``meta``.

        Raises:
            WeightsError: if it is left out.
        """
        value = self.optional(place)
        if value is None:
            raise WeightsError(f"{self.operator} lacks its input {place}")
        return value

    def axis(self, default: int) -> int:
        """Return the attribute ``axis``, counted from the front."""
        axis, rank = self.get("axis", default), self.tensor().ndim
        if not -rank <= axis <= rank:
            raise WeightsError(f"{self.operator} has axis {axis}, but its input has {rank}")
        return axis + rank if axis < 0 else axis


class Bound(nn.Module):
    """A function with its first arguments free and the others bound to constants, which follow the network.

    Args:
        function: The function of the arguments in order.
        constants: Constant arguments, ``None`` where an argument is free.
    """

    def __init__(self, function: Function, constants: tuple[Tensor | None, ...]) -> None:
        super().__init__()
        self._function = function
        self._names: list[str | None] = []
        for place, constant in enumerate(constants):
            self._names.append(None if constant is None else f"constant{place}")
            if constant is not None:
                self.register_buffer(f"constant{place}", constant)

    def forward(self, *given: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return the function's value."""
        free = iter(given)
        return self._function(*(next(free) if name is None else getattr(self, name) for name in self._names))


def floating(tensor: Tensor) -> Tensor:
    """Return a stored tensor of weights as 32-bit floats."""
    return tensor if tensor.dtype == torch.float32 else tensor.float()
