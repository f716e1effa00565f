"""The part of a descriptor that leaks: some numbers of its direction, or all of them rounded to a few bits."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from faceinv.contracts.leaks import Leak


class View(nn.Module):
    """What leaks of whole descriptors.

    Args:
        leak: ``dims`` or ``bits``.
        samples: Descriptors of samples ``(S, D)``; ``principal`` keeps their first axes.
    """

    rows: Tensor

    def __init__(self, leak: Leak, samples: Tensor) -> None:
        super().__init__()
        self.leak = leak
        self.register_buffer("rows", _rows(leak, samples.double()), persistent=False)

    @property
    def dim(self) -> int:
        """Numbers that leak of each descriptor."""
        return len(self.rows)

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return what leaks ``(B, N)`` of whole descriptors ``(B, D)``."""
        directions = nn.functional.normalize(descriptors)
        if self.leak.kind == "bits":
            return rounded_to_bits(directions, self.leak.n)
        return directions @ self.rows.to(directions).T


def rounded_to_bits(directions: Tensor, bits: int) -> Tensor:
    """Return directions ``(B, D)`` with each number replaced by the middle of its bin.

    Bins of equal width reach to three standard deviations, 3 / √D for a direction; one bit is the sign.
    """
    count, reach = 2**bits, 3 / math.sqrt(directions.shape[1])
    place = ((directions + reach) / (2 * reach) * count).floor().clamp(0, count - 1)
    middle: Tensor = (place + 0.5) / count * 2 * reach - reach
    return middle


def _rows(leak: Leak, samples: Tensor) -> Tensor:
    """Return the rows ``(N, D)`` along which a descriptor's direction leaks; all of them for bits."""
    dim = samples.shape[1]
    if leak.which == "principal":
        _, axes = torch.linalg.eigh(nn.functional.normalize(samples).T.cov())
        principal: Tensor = axes.flip(1).T[: leak.n]
        return principal
    every = torch.eye(dim).to(samples)
    if leak.kind == "bits":
        return every
    if leak.which == "random":
        return every[torch.randperm(dim, generator=torch.Generator().manual_seed(0))[: leak.n]]
    return every[: leak.n]
