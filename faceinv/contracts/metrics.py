"""The metric interface."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Comparison(Protocol):
    """Targets and their reconstructions in the generator's framing; descriptors are computed on demand."""

    @property
    def target(self) -> Tensor:
        """Targets ``(B, 3, H, W)``."""
        ...

    @property
    def reconstruction(self) -> Tensor:
        """Reconstructions ``(B, 3, H, W)``."""
        ...

    def similarity(self, role: str) -> Tensor:
        """Return the cosine similarity of each pair, ``(B,)``, on the ``"attacked"`` encoder or the ``"critic"``."""
        ...


class Metric(Protocol):
    """A score of reconstructions."""

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the score of each pair, ``(B,)``."""
        ...
