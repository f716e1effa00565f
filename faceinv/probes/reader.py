"""Readers: small networks from a descriptor to an attribute or a latent, and their heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from faceinv.probes.whitening import Whitening


class Reader(nn.Module):
    """A head between whitened descriptors and standardised attributes.

    Args:
        head: ``(B, dim)`` to ``(B, k)``.
        shape: Shape of the attribute; k is its product.
        whitening: Applied to descriptors first, alone or with readings; ``None`` leaves them as they are.
        constrain: Maps ``(B, k)`` to a valid ``(B, *shape)``.
    """

    output_mean: Tensor
    output_scale: Tensor

    def __init__(
        self,
        head: nn.Module,
        shape: tuple[int, ...],
        whitening: Whitening | Readings | None = None,
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
        """Return the head's inputs ``(B, inputs)`` for descriptors ``(B, dim)``."""
        if self.whitening is None:
            return descriptors
        found: Tensor = self.whitening(descriptors)
        return found

    def standardised(self, descriptors: Tensor) -> Tensor:
        """Return the head's output ``(B, k)`` in standardised units."""
        output: Tensor = self.head(self.inputs(descriptors))
        return output

    def forward(self, descriptors: Tensor) -> Tensor:
        """Read the attribute ``(B, *shape)`` from descriptors ``(B, dim)``."""
        raw = self.standardised(descriptors) * self.output_scale + self.output_mean
        return self._constrain(raw) if self._constrain else raw.reshape(len(raw), *self.shape)


class Readings(nn.Module):
    """Whitened descriptors, next to what readers read from them.

    Readers find what a linear regression cannot find in a descriptor. A regression of latents that sees it too starts a
    search nearer to the target's landmarks and colours.

    Args:
        whitening: Of the descriptors.
        readers: Their outputs are taken in standardised units.
    """

    def __init__(self, whitening: Whitening, readers: Iterable[Reader]) -> None:
        super().__init__()
        self.whitening = whitening
        self.readers = nn.ModuleList(readers)

    @property
    def outputs(self) -> int:
        """How many numbers are returned for a descriptor."""
        return len(self.whitening.mean) + sum(math.prod(reader.shape) for reader in self._readers)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return ``(B, outputs)`` for descriptors ``(B, dim)``, in their dtype."""
        read = [reader.standardised(descriptors) for reader in self._readers]
        return torch.cat([self.whitening(descriptors), *read], 1)

    @property
    def _readers(self) -> Sequence[Reader]:
        return cast("Sequence[Reader]", self.readers)


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


def pairs_head(dim: int, outputs: int) -> nn.Module:
    """Return a head for pairs, which is one of several."""
    return TunedHead(dim, outputs, width=256, dropout=0.3)


class AveragedHeads(nn.Module):
    """Mean of heads that were trained apart: what each makes of chance in its training cancels."""

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return ``(B, outputs)``."""
        return torch.stack([head(descriptors) for head in self.heads]).mean(0)


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
