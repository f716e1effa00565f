"""What is drawn over the pictures: points and histograms, measured on each picture by the run's own probes.

A probe tells by the shape of its attribute how it is drawn: ``(k, 2)`` are points in frame coordinates,
``(c, bins)`` with rows that add up to 1 are histograms. So a third party's probe is drawn with no more code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

#: Picture files and the name of the generator that framed them, to each probe's attributes ``(N, *shape)``.
Measure = Callable[[Sequence[Path], str, Sequence[str]], "Measured"]


@dataclass(frozen=True)
class Measured:
    """Attributes of some pictures.

    Args:
        values: Attributes ``(N, *shape)`` by probe.
        missing: Why a probe could not be measured, by probe.
    """

    values: Mapping[str, npt.NDArray[np.float32]]
    missing: Mapping[str, str]


def kind(attribute: npt.NDArray[np.float32]) -> str:
    """Return how attributes ``(N, *shape)`` are drawn: ``"points"``, ``"histogram"``, or nothing."""
    if attribute.ndim != 3 or not len(attribute):
        return ""
    if attribute.shape[2] == 2 and attribute.shape[1] > 2:
        return "points"
    if attribute.shape[1] in (1, 3) and np.allclose(attribute.sum(2), 1, atol=0.05):
        return "histogram"
    return ""


def compact(attribute: npt.NDArray[np.float32]) -> list[list[int]]:
    """Return attributes as whole thousandths, flat, one list an item: a page holds thousands of them."""
    scaled = np.nan_to_num(attribute.reshape(len(attribute), -1) * 1000)
    rounded: list[list[int]] = np.rint(scaled).astype(int).tolist()
    return rounded
