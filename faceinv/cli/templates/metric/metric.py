"""The metric: a score of each reconstruction beside its target."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison, Framing


class MyMetric:
    """Mean absolute difference over pixels and channels.

    Args:
        framing: Where the face sits in the images; pixels do not depend on it.
    """

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the score of each pair, ``(B,)``."""
        return (comparison.reconstruction - comparison.target).abs().mean((1, 2, 3))
