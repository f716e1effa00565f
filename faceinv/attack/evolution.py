"""CMA-ES (Hansen and Ostermeier 2001): one strategy for each target, all populations scored as one batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from faceinv.attack.recovery import Spread
from faceinv.contracts.protections import Leak, Recovered

#: Generations in which a template is approached, and the first step, in standard deviations of other faces.
GENERATIONS, SIGMA = 100, 0.3
#: Number of dimensions from which on only a diagonal covariance is learnt (Ros and Hansen 2008).
DIAGONAL = 64


class Strategies:
    """A strategy for each target, in coordinates whose usual spread is 1.

    Args:
        dimensions: Number of coordinates.
        sigma: First step.
        seeds: Seed of each target.
        size: Candidates of a generation; 0: the default of CMA-ES, 4 + 3 ln(dimensions).
        diagonal: Number of dimensions from which on only a diagonal covariance is learnt.
    """

    def __init__(
        self, dimensions: int, sigma: float, seeds: Sequence[int], size: int = 0, diagonal: int = DIAGONAL
    ) -> None:
        # It imports scipy.stats, which takes longer than many runs that need no strategy.
        from cmaes import CMA, SepCMA

        #: Candidates of a generation.
        self.size = size or 4 + math.floor(3 * math.log(dimensions))
        strategy = SepCMA if dimensions >= diagonal else CMA
        self._all = [
            # NumPy's seeds have 32 bits.
            strategy(np.zeros(dimensions), sigma, seed=seed % 2**32, population_size=self.size)
            for seed in seeds
        ]
        self._asked: npt.NDArray[np.float64] = np.empty(0)

    def ask(self) -> Tensor:
        """Return the next candidates ``(N, size, dimensions)`` in double precision, as moves from the start."""
        self._asked = np.array([[one.ask() for _ in range(self.size)] for one in self._all])
        return torch.from_numpy(self._asked)

    def tell(self, values: Tensor) -> None:
        """Learn from the values ``(N, size)`` of the last candidates; lower is better."""
        for one, points, scores in zip(self._all, self._asked, values.double().cpu().numpy(), strict=True):
            one.tell(list(zip(points, scores.tolist(), strict=True)))


def by_evolution(
    misfit: Callable[[Tensor, Sequence[Leak]], Tensor],
    leaks: Sequence[Leak],
    prior: Tensor,
    start: Tensor,
    what: str,
    generations: int = GENERATIONS,
) -> Recovered:
    """Return the descriptors with the least misfit that CMA-ES finds around a start; needs no gradients.

    As in :func:`faceinv.attack.by_descent`, half of the squared whitened length is added to the misfit.

    Args:
        misfit: Maps candidates ``(N, size, D)`` and the leaks to the misfit ``(N, size)``.
        leaks: Templates of the same ``N`` people, each under another key.
        prior: Descriptors ``(P, D)`` of other faces.
        start: Where to begin, ``(N, D)``.
        what: What is minimised, in words.
        generations: Generations of each target.
    """
    spread = Spread.of(prior)
    first = spread.coordinates(nn.functional.normalize(start))[:, None]
    strategies = Strategies(first.shape[2], SIGMA, range(len(first)))
    best, least = first[:, 0], torch.full((len(first),), torch.inf, dtype=first.dtype)
    for _ in range(generations):
        found = first + strategies.ask()
        values = misfit(spread.descriptors(found), leaks) + found.square().sum(2) / 2
        strategies.tell(values)
        lowest, place = values.min(1)
        better = lowest < least
        best = torch.where(better[:, None], found[torch.arange(len(found)), place], best)
        least = torch.where(better, lowest, least)
    budget = {"generations": generations, "candidates": strategies.size, "templates": len(leaks)}
    return Recovered(spread.descriptors(best).to(prior), f"CMA-ES on {what}", budget)
