"""The metric, a score of each pair of target and reconstruction."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison, Framing


class MyMetric:
    """Mean absolute difference over pixels and channels.

    Args:
        framing: Framing of the images; unused by a score of pixels.
    """

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the score of each pair, ``(B,)``."""
        return (comparison.reconstruction - comparison.target).abs().mean((1, 2, 3))
