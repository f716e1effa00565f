"""How much each loss contributes to the objective: its weighted share of the sum, at the start and at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

#: Share of the sum below which a loss hardly steers a search.
LEAST = 1e-3


@dataclass(frozen=True)
class LossShare:
    """The part of a loss in the sum that a method minimised.

    Args:
        weight: Its weight.
        start: Its weighted share of the sum over all targets at the first step, 0 to 1; NaN if the sum is 0.
        end: The same at the last step.
    """

    weight: float
    start: float
    end: float


def loss_shares(weights: Mapping[str, float], trajectory: Mapping[str, Sequence[float]]) -> dict[str, LossShare]:
    """Return the share of each loss; nothing for a method that optimised nothing.

    Args:
        weights: Weight of each loss of the objective; 0 for one that was left out.
        trajectory: Unweighted losses at each step, summed or averaged over the targets.
    """
    if not trajectory:
        return {}
    known = {name: weight for name, weight in weights.items() if trajectory.get(name)}
    sums = [sum(weight * trajectory[name][step] for name, weight in known.items()) for step in (0, -1)]

    def share(name: str, step: int) -> float:
        if name not in known:
            return 0.0
        return known[name] * trajectory[name][step] / sums[step] if sums[step] else math.nan

    return {name: LossShare(weight, share(name, 0), share(name, -1)) for name, weight in weights.items()}


def negligible(shares: Mapping[str, LossShare]) -> Iterator[str]:
    """Yield a sentence for each loss that is below :data:`LEAST` of the sum from start to end, and has a weight."""
    for name, share in shares.items():
        if share.weight and max(share.start, share.end) < LEAST:
            yield (
                f"The loss '{name}' is {_percent(share.start)} of the weighted sum at the start and "
                f"{_percent(share.end)} at the end, so it hardly steers the search; raise its weight of "
                f"{share.weight:g} with --loss-weights {name}=WEIGHT, or use --objective balanced."
            )


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
