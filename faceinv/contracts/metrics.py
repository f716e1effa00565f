"""The interface of a metric."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor


class Comparison(Protocol):
    """Targets beside their reconstructions, in the generator's framing; descriptors made on demand."""

    @property
    def target(self) -> Tensor:
        """Targets ``(B, 3, H, W)``."""
        ...

    @property
    def reconstruction(self) -> Tensor:
        """Reconstructions ``(B, 3, H, W)``."""
        ...

    def similarity(self, role: str) -> Tensor:
        """Return the cosine of target and reconstruction ``(B,)`` on the ``"attacked"`` encoder or ``"critic"``."""
        ...


class Metric(Protocol):
    """A score of reconstructions."""

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the score of each pair, ``(B,)``."""
        ...
