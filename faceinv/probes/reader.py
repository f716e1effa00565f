"""Readers: small networks from a descriptor to an attribute or a latent, and their heads."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceinv.probes.whitening import Whitening


class Reader(nn.Module):
    """A head between whitened descriptors and standardised attributes.

    Args:
        head: ``(B, dim)`` to ``(B, k)``.
        shape: Shape of the attribute; k is its product.
        whitening: Applied to descriptors first; ``None`` leaves them as they are.
        constrain: Maps ``(B, k)`` to a valid ``(B, *shape)``.
    """

    output_mean: Tensor
    output_scale: Tensor

    def __init__(
        self,
        head: nn.Module,
        shape: tuple[int, ...],
        whitening: Whitening | None = None,
        constrain: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.shape = shape
        self.whitening = whitening
        self._constrain = constrain
        k = math.prod(shape)
        self.register_buffer("output_mean", torch.zeros(k))
        self.register_buffer("output_scale", torch.ones(k))

    def inputs(self, descriptors: Tensor) -> Tensor:
        """Return the head's inputs ``(B, dim)`` for descriptors ``(B, dim)``."""
        return descriptors if self.whitening is None else self.whitening(descriptors)

    def standardised(self, descriptors: Tensor) -> Tensor:
        """Return the head's output ``(B, k)`` in standardised units."""
        output: Tensor = self.head(self.inputs(descriptors))
        return output

    def forward(self, descriptors: Tensor) -> Tensor:
        """Read the attribute ``(B, *shape)`` from descriptors ``(B, dim)``."""
        raw = self.standardised(descriptors) * self.output_scale + self.output_mean
        return self._constrain(raw) if self._constrain else raw.reshape(len(raw), *self.shape)


@dataclass(frozen=True)
class Split:
    """Parts of what a reader learns from: for training, for early stopping, and for scores and usual errors."""

    train: slice
    validation: slice
    test: slice

    @classmethod
    def of(cls, n: int) -> Split:
        """Split ``n`` pairs 9 : 1. One part is held out for both purposes: recipes for pairs do not stop early."""
        kept = n - max(1, n // 10)
        return cls(slice(0, kept), slice(kept, n), slice(kept, n))


@dataclass(frozen=True)
class Examples:
    """What a reader learns from.

    Args:
        descriptors: ``(N, dim)``.
        targets: ``(N, *shape)``.
        split: Rows of each part.
    """

    descriptors: Tensor
    targets: Tensor
    split: Split

    @classmethod
    def of(cls, descriptors: Tensor, targets: Tensor) -> Examples:
        """Return independent examples, split 9 : 1."""
        return cls(descriptors, targets, Split.of(len(descriptors)))


class TunedHead(nn.Module):
    """MLP plus a linear skip connection (the linear part reads most of a Gaussian attribute).

    It starts at zero, the mean of the training part, so that with little data it can only improve on that guess.
    """

    def __init__(self, dim: int, outputs: int, width: int = 512, dropout: float = 0.2, hidden: int = 3) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, outputs)
        layers: list[nn.Module] = []
        for inputs in (dim, *[width] * (hidden - 1)):
            layers += [nn.Linear(inputs, width), nn.GELU(), nn.Dropout(dropout)]
        last = nn.Linear(width, outputs)
        self.mlp = nn.Sequential(*layers, last)
        for layer in (self.linear, last):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return ``(B, outputs)``."""
        output: Tensor = self.linear(descriptors) + self.mlp(descriptors)
        return output


def latent_head(dim: int, outputs: int) -> nn.Module:
    """Return the paper's latent regressor: 3 hidden layers of 2,048 units, ReLU (section 4.1)."""
    return nn.Sequential(
        nn.Linear(dim, 2048),
        nn.ReLU(),
        nn.Linear(2048, 2048),
        nn.ReLU(),
        nn.Linear(2048, 2048),
        nn.ReLU(),
        nn.Linear(2048, outputs),
    )
