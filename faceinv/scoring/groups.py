"""Scores of groups of people and their differences, with intervals over people and Holm's correction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faceinv.scoring.bootstrap import Array, People, Score, interval
from faceinv.scoring.statistics import Estimate

#: Fewest items of a group that is scored; smaller ones are left out and counted.
SMALLEST = 30
#: Draws of people: enough for p-values of 0.001.
RESAMPLES = 2000

Member = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Difference:
    """A group's score minus that of the other groups together.

    Args:
        estimate: With its 95 % interval over people.
        p: Two-sided p-value of the bootstrap, not yet corrected; NaN without an interval.
    """

    estimate: Estimate
    p: float


class Groups:
    """The groups of ``n`` items, and the draws of people that all of their scores share.

    Args:
        groups: Group of each item; ``None`` where it is not known.
        people: The person in each item.
        smallest: Fewest items of a group that is scored.
    """

    def __init__(self, groups: Sequence[str | None], people: Sequence[str], smallest: int = SMALLEST) -> None:
        self._group = np.array([group or "" for group in groups], dtype=str)
        self._people = np.array(people, dtype=str)
        sizes = {name: int((self._group == name).sum()) for name in sorted(set(self._group.tolist()) - {""})}
        #: Size of each group that is scored.
        self.kept = {name: size for name, size in sizes.items() if size >= smallest}
        #: Size of each group that is too small.
        self.small = {name: size for name, size in sizes.items() if size < smallest}
        #: Number of items whose group is not known.
        self.unknown = int((self._group == "").sum())
        self._draws = People(people, resamples=RESAMPLES)

    @property
    def compared(self) -> list[str]:
        """The groups that are compared with all others: of two groups the second, of one none."""
        names = list(self.kept)
        return names[1:] if len(names) == 2 else names if len(names) > 2 else []

    def member(self, name: str = "") -> Member:
        """Return which items are in a group; without a name, which are in any group that is scored."""
        found: Member = self._group == name if name else np.isin(self._group, list(self.kept))
        return found

    @property
    def everyone(self) -> Member:
        """All items, those of small and unknown groups as well."""
        return np.ones(len(self._group), dtype=bool)

    def people(self, member: Member) -> int:
        """Return the number of people in some items."""
        return len(np.unique(self._people[member]))

    def replicates(self, member: Member, score: Score, truth: Array, predicted: Array) -> Array:
        """Return a score of the members, and that of each draw of people."""

        def of_members(truth: Array, predicted: Array, weights: Array) -> Array:
            chosen = predicted[member] if len(predicted) else predicted
            return score(truth[member], chosen, weights[:, member])

        return self._draws.replicates(of_members, truth, predicted)

    def estimate(self, member: Member, replicates: Array) -> Estimate:
        """Return a score of the members with its interval."""
        found = interval(replicates)
        n, people = int(member.sum()), self.people(member)
        return Estimate(found.mean, found.low, found.high, n, people if people < n else 0)

    def difference(self, member: Member, own: Array, others: Array) -> Difference:
        """Return a difference of two scores under the same draws.

        Args:
            member: The items of either.
            own: Replicates of the group's score.
            others: Replicates of the others' score.
        """
        gap = own - others
        draws = gap[1:][np.isfinite(gap[1:])]
        if len(draws) < 2:
            return Difference(self.estimate(member, gap), float("nan"))
        # One is added to both counts: a p-value of 0 cannot come from finitely many draws.
        tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
        return Difference(self.estimate(member, gap), min(1.0, 2 * (tail + 1) / (len(draws) + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for testing several differences at once (Holm 1979); NaN stays and does not count."""
    order = sorted((p, place) for place, p in enumerate(p_values) if p == p)
    corrected, largest = [float("nan")] * len(p_values), 0.0
    for rank, (p, place) in enumerate(order):
        largest = max(largest, min(1.0, p * (len(order) - rank)))
        corrected[place] = largest
    return corrected


def weighted_mean(values: Array, _: Array, weights: Array) -> Array:
    """Return the mean of the known ``values`` ``(n,)`` under ``weights`` ``(R, n)``; NaN without any."""
    known = np.isfinite(values)
    total = weights[:, known].sum(1)
    sums = weights[:, known] @ values[known]
    found: Array = np.divide(sums, total, out=np.full(len(weights), np.nan), where=total > 0)
    return found
