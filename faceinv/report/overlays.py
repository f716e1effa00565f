"""Overlays of pictures: points and histograms, measured on each picture by the probes of the run.

The shape of an attribute decides how it is drawn: ``(k, 2)`` as points in frame coordinates, ``(c, bins)`` with rows
that sum to 1 as histograms. The probes of other plugins are drawn without further code.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

#: Takes picture files, the name of the generator whose framing they have, and the names of probes.
Measure = Callable[[Sequence[Path], str, Sequence[str]], "Measured"]


@dataclass(frozen=True)
class Measured:
    """Attributes of some pictures.

    Args:
        values: Attributes ``(N, *shape)`` by probe.
        missing: Why an attribute could not be measured, by probe.
    """

    values: Mapping[str, npt.NDArray[np.float32]]
    missing: Mapping[str, str]


def kind(attribute: npt.NDArray[np.float32]) -> str:
    """Return how attributes ``(N, *shape)`` are drawn: ``"points"``, ``"histogram"``, or empty if they are not."""
    if attribute.ndim != 3 or not len(attribute):
        return ""
    if attribute.shape[2] == 2 and attribute.shape[1] > 2:
        return "points"
    if attribute.shape[1] in (1, 3) and np.allclose(attribute.sum(2), 1, atol=0.05):
        return "histogram"
    return ""


def compact(attribute: npt.NDArray[np.float32]) -> list[list[int]]:
    """Return attributes as integer thousandths, one flat list per item, because a page holds thousands of them."""
    scaled = np.nan_to_num(attribute.reshape(len(attribute), -1) * 1000)
    rounded: list[list[int]] = np.rint(scaled).astype(int).tolist()
    return rounded
