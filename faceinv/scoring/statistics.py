"""Means with confidence intervals, and paired differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

#: Smallest number of items whose differences are called better or worse. A 95 % bootstrap interval of the mean covers
#: it in 0.81 of samples of 4 (normal; 0.77 of exponential ones), 0.90 (0.85) of 10, and 0.94 (0.93) of 32.
FEW = 10

_RESAMPLES = 4000
#: The normal distribution's 97.5 % point.
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A score with its 95 % interval.

    Args:
        mean: The score of all items.
        low: Lower end of the interval; NaN if there is too little data for one.
        high: Upper end.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Estimate(Interval):
    """A mean over items with its 95 % interval.

    Args:
        n: Number of items that have a value; with fewer than two there is no interval.
        people: Number of people that the items are of, if some have several; 0 otherwise.
    """

    n: int
    people: int = 0

    @property
    def independent(self) -> int:
        """Number of items that tell something new: people, if some have several items."""
        return self.people or self.n


def estimate(
    values: npt.ArrayLike, seed: int = 0, drawn: int = 1 << 18, people: Sequence[object] | None = None
) -> Estimate:
    """Return the mean of ``values`` with its 95 % percentile bootstrap interval, ignoring NaNs.

    Args:
        values: ``(N,)``.
        seed: Seed of the resampling: the same values give the same interval.
        drawn: Number of items drawn at a time; bounds the memory and does not change the result.
        people: The person in each item. If some have several, whole people are drawn: their items are not independent.
    """
    array = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(array)
    array = array[finite]
    n = len(array)
    if people is not None and n:
        _, person = np.unique(np.asarray(people, dtype=str)[finite], return_inverse=True)
        if person.max() + 1 < n:
            return _estimate_of_people(array, person, seed)
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    if n == 1:
        return Estimate(float(array[0]), float("nan"), float("nan"), 1)
    rng = np.random.default_rng(seed)
    block = max(1, drawn // n)
    # All blocks draw from one stream, so the interval does not depend on their size.
    sizes = [min(block, _RESAMPLES - first) for first in range(0, _RESAMPLES, block)]
    means = np.concatenate([array[rng.integers(0, n, size=(size, n))].mean(1) for size in sizes])
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(array.mean()), float(low), float(high), n)


def _estimate_of_people(values: npt.NDArray[np.float64], person: npt.NDArray[np.intp], seed: int) -> Estimate:
    """Return the mean of values ``(N,)`` of people, numbered from 0, with its interval over the people."""
    sums, counts = np.bincount(person, values), np.bincount(person)
    k, mean = len(counts), float(values.mean())
    if k == 1:
        return Estimate(mean, float("nan"), float("nan"), len(values), 1)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(k, np.full(k, 1 / k), size=_RESAMPLES)
    low, high = np.percentile((drawn @ sums) / (drawn @ counts), [2.5, 97.5])
    return Estimate(mean, float(low), float(high), len(values), k)


def paired_difference(
    values: npt.ArrayLike, reference: npt.ArrayLike, seed: int = 0, people: Sequence[object] | None = None
) -> Estimate:
    """Return the mean of the differences ``values − reference`` of each item, with its 95 % interval.

    Args:
        values: ``(N,)``.
        reference: ``(N,)``, of the same items.
        seed: Seed of the resampling.
        people: The person in each item, as for :func:`estimate`.
    """
    a, b = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"Paired values must be of the same items, got shapes {a.shape} and {b.shape}.")
    return estimate(a - b, seed, people=people)


def wilson(successes: int, n: int) -> Estimate:
    """Return a share with its 95 % score interval (Wilson 1927), which is valid for small ``n`` and extreme shares.

    Raises:
        ValueError: ``successes`` is negative or greater than ``n``.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is not a share.")
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    share, z2 = successes / n, _NORMAL_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_975 * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At 0 and n the ends are exact; rounding must not move them.
    return Estimate(
        share, max(0.0, centre - half) if successes else 0.0, min(1.0, centre + half) if successes < n else 1.0, n
    )
