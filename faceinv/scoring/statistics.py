"""Means with their intervals, and paired differences: no number without its n."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_RESAMPLES = 4000
#: Items drawn at a time: all resamples of many items at once would be gigabytes.
_DRAWN = 1 << 18
#: The normal distribution's 97.5 % point.
_NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A mean with a 95 % interval.

    Args:
        mean: Mean over the items.
        low: Lower end of the percentile bootstrap interval; NaN for fewer than two items.
        high: Upper end.
        n: Number of items that have a value.
    """

    mean: float
    low: float
    high: float
    n: int


def estimate(values: npt.ArrayLike, seed: int = 0) -> Estimate:
    """Return the mean of ``values`` with a 95 % percentile bootstrap interval; NaNs are left out.

    The same values give the same interval: the resampling is seeded.
    """
    array = np.asarray(values, dtype=np.float64)
    array = array[np.isfinite(array)]
    n = len(array)
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    if n == 1:
        return Estimate(float(array[0]), float("nan"), float("nan"), 1)
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWN // n)
    # Blocks of rows of one stream: the interval does not depend on their size.
    sizes = [min(block, _RESAMPLES - first) for first in range(0, _RESAMPLES, block)]
    means = np.concatenate([array[rng.integers(0, n, size=(size, n))].mean(1) for size in sizes])
    low, high = np.percentile(means, [2.5, 97.5])
    return Estimate(float(array.mean()), float(low), float(high), n)


def paired_difference(values: npt.ArrayLike, reference: npt.ArrayLike, seed: int = 0) -> Estimate:
    """Return the mean of ``values − reference``, item by item, with its 95 % interval."""
    a, b = np.asarray(values, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if a.shape != b.shape:
        raise ValueError(f"Paired values must belong to the same items, got {a.shape} and {b.shape}.")
    return estimate(a - b, seed)


def wilson(successes: int, n: int) -> Estimate:
    """Return a share with its 95 % score interval (Wilson 1927), which holds for small ``n`` and extreme shares.

    Raises:
        ValueError: there are more successes than trials.
    """
    if not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share.")
    if n == 0:
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    share, z2 = successes / n, _NORMAL_975**2
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _NORMAL_975 * float(np.sqrt(share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At 0 and n the ends are exact; rounding must not push them out.
    return Estimate(
        share, max(0.0, centre - half) if successes else 0.0, min(1.0, centre + half) if successes < n else 1.0, n
    )
