"""Earth Mover's distance between the histograms of target and reconstruction."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison, Framing
from faceinv_histogram.probe import earth_movers_distance, hard_histogram


class HistogramEMD:
    """Earth Mover's distance of the hard 10-bin histograms, in bins, summed over red, green and blue: 0 to 27.

    Args:
        framing: Where the face sits in the images; a histogram does not depend on it.
    """

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the distance of each pair, ``(B,)``."""
        return earth_movers_distance(hard_histogram(comparison.reconstruction), hard_histogram(comparison.target))
