"""Audit scores with 95 % intervals by a bootstrap over people: photographs of one person are not independent.

Every metric takes item weights, so a bootstrap replicate is the metric under other weights. Whole people are drawn
with replacement (cluster bootstrap), and every source of an attribute uses the same draws, which makes differences
and the leakage paired.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from faceinv.scoring.statistics import Interval

Array = npt.NDArray[np.float64]

#: Maps (truth, predicted, weights ``(R, n)``) to scores ``(R,)``, NaN where a score is undefined.
Score = Callable[[Array, Array, Array], Array]

RESAMPLES = 1000

#: Number of weights in memory at a time.
_BLOCK = 4_000_000


class People:
    """Bootstrap draws of people with replacement, as weights of their items.

    Args:
        identities: The person in each of ``n`` items.
        resamples: Number of draws.
        seed: Seed of the draws.
    """

    def __init__(self, identities: Sequence[str] | npt.NDArray[np.str_], resamples: int = RESAMPLES, seed: int = 0):
        names, self._person = np.unique(np.asarray(identities, dtype=str), return_inverse=True)
        self.n = len(names)
        rng = np.random.default_rng(seed)
        # The first row is the sample itself. With one person all draws are equal and give no interval.
        draws = resamples if self.n > 1 else 0
        drawn = rng.multinomial(self.n, np.full(self.n, 1 / max(1, self.n)), size=draws)
        self._counts = np.concatenate([np.ones((1, self.n)), drawn])

    def replicates(self, score: Score, truth: Array, predicted: Array) -> Array:
        """Return ``score`` of the items, followed by that of each draw: ``(1 + resamples,)``."""
        step = max(1, _BLOCK // max(1, len(self._person)))
        blocks = (self._counts[first : first + step] for first in range(0, len(self._counts), step))
        return np.concatenate([score(truth, predicted, block[:, self._person]) for block in blocks])


def interval(replicates: Array) -> Interval:
    """Return the first of the ``replicates`` with the 95 % percentile interval of the others, ignoring undefined ones.

    The interval is NaN for fewer than two people.
    """
    draws = replicates[1:][np.isfinite(replicates[1:])]
    if len(draws) < 2:
        return Interval(float(replicates[0]), float("nan"), float("nan"))
    low, high = np.percentile(draws, [2.5, 97.5])
    return Interval(float(replicates[0]), float(low), float(high))


def accuracy(truth: Array, predicted: Array, weights: Array) -> Array:
    """Return the share of items predicted on the correct side of 0.5.

    Args:
        truth: ``(n,)`` 0 or 1.
        predicted: ``(n,)`` probabilities of 1.
        weights: ``(R, n)``.
    """
    return _mean(((predicted > 0.5) == (truth > 0.5)).astype(float), weights)


def balanced_accuracy(truth: Array, predicted: Array, weights: Array) -> Array:
    """Return the mean of both classes' accuracies; NaN if a class is missing."""
    right = ((predicted > 0.5) == (truth > 0.5)).astype(float)
    positive = truth > 0.5
    return (_mean(right[positive], weights[:, positive]) + _mean(right[~positive], weights[:, ~positive])) / 2


def auc(truth: Array, predicted: Array, weights: Array) -> Array:
    """Return the area under the ROC curve: the chance that a 1 is rated above a 0, ties counting half.

    NaN if a class is missing.
    """
    order = np.argsort(predicted, kind="stable")
    rated, positive, weights = predicted[order], truth[order] > 0.5, weights[:, order]
    _, first = np.unique(rated, return_index=True)
    ones = np.add.reduceat(np.where(positive, weights, 0.0), first, axis=1)
    zeros = np.add.reduceat(np.where(positive, 0.0, weights), first, axis=1)
    below = zeros.cumsum(1) - zeros / 2
    return _quotient((ones * below).sum(1), ones.sum(1) * zeros.sum(1))


def mean_error(errors: Array, _: Array, weights: Array) -> Array:
    """Return the mean of ``errors`` ``(n,)``."""
    return _mean(errors, weights)


def r2(truth: Array, predicted: Array, weights: Array) -> Array:
    """Return the share of variance explained over all outputs together.

    One minus the squared error divided by the squared distance to the items' own mean, both summed over the outputs
    ``(n, k)`` (scikit-learn's ``multioutput="variance_weighted"``). NaN if nothing varies.
    """
    total = weights.sum(1)
    squared_error = weights @ np.square(truth - predicted).sum(1)
    # Centred first: the difference of two large numbers would lose digits.
    centred = truth - truth.mean(0)
    means = (weights @ centred) / np.where(total > 0, total, np.nan)[:, None]
    spread = weights @ np.square(centred).sum(1) - total * np.square(means).sum(1)
    return 1 - _quotient(squared_error, np.where(spread > 1e-12 * np.maximum(total, 1), spread, 0))


def leakage(source: Array, baseline: Array, image: Array) -> Array:
    """Return how far ``source`` gets from the baseline's score (0) to the image's (1).

    All are replicates of one score under the same draws. NaN if predicting from the image is not clearly better than
    guessing, that is, if the 95 % interval of their difference contains 0. Works for scores of either direction.
    """
    way = image - baseline
    sure = interval(way)
    if not (sure.low > 0 or sure.high < 0):
        return np.full_like(way, np.nan)
    return _quotient(source - baseline, np.where(np.sign(way) == np.sign(way[0]), way, 0))


def _mean(values: Array, weights: Array) -> Array:
    return _quotient(weights @ values, weights.sum(1))


def _quotient(a: Array, b: Array) -> Array:
    quotient: Array = np.divide(a, b, out=np.full(a.shape, np.nan), where=b != 0)
    return quotient
