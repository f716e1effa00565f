"""A published StyleGAN2 generator, still in its file, under the names of ``architecture.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch

from faceinv.errors import WeightsError
from faceinv.weights import StoredTensor

#: Learning rate of the mapping network, relative to the rest (Karras et al. 2019, appendix C).
MAPPING_RATE = 0.01


@dataclass(frozen=True)
class Part:
    """A tensor of the generator, still in its file.

    Args:
        stored: Tensor in the file.
        gain: Factor of its values.
        shape: Shape to reshape it to, with as many elements; ``None`` keeps its own.

    Raises:
        WeightsError: if it cannot be reshaped to ``shape``.
    """

    stored: StoredTensor
    gain: float = 1.0
    shape: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if math.prod(self.final_shape) != math.prod(self.stored.shape):
            raise WeightsError(f"it has a tensor of shape {self.stored.shape} instead of {self.final_shape}")

    @property
    def final_shape(self) -> tuple[int, ...]:
        """Shape of the tensor, once read."""
        return self.stored.shape if self.shape is None else self.shape


@dataclass(frozen=True)
class Published:
    """A generator in its file: its parts by our names, and the bound of its activations, if any."""

    parts: Mapping[str, Part]
    clamp: float | None = None


def fan_in_gain(weight: StoredTensor, leading: int = 1) -> float:
    """Return 1/sqrt(fan-in), the factor of equalised learning rate.

    Args:
        weight: Weight; the axes after the ``leading`` ones are inputs.
        leading: Number of axes before the inputs, the last of which are the outputs.
    """
    return 1 / math.sqrt(max(math.prod(weight.shape[leading:]), 1))


def linear(name: str, weight: StoredTensor, bias: StoredTensor, rate: float = 1.0) -> dict[str, Part]:
    """Return the parts of a fully connected layer with the relative learning ``rate``."""
    return {f"{name}.weight": Part(weight, rate * fan_in_gain(weight)), f"{name}.bias": Part(bias, rate)}


def check_binomial(name: str, stored: StoredTensor, gain: float) -> None:
    """Raise :class:`WeightsError` unless a resampling filter is the binomial 1 3 3 1 times ``gain``."""
    binomial = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
    expected = torch.outer(binomial, binomial) * gain
    if stored.shape != (4, 4) or not torch.allclose(stored.read().float(), expected, atol=1e-6):
        raise WeightsError(f"its {name} is not the filter 1 3 3 1, the only one supported")
