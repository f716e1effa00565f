"""CMA-ES on the latent (Hansen and Ostermeier 2001), as used for black-box template inversion."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Best, Strategies, rows_of, spread
from faceinv.contracts import Inversion, InversionTask


class Evolution:
    """One evolution strategy per target; all populations are scored as one batch.

    The search is around the start, in standard deviations of the generator's latents.

    Args:
        start: Initial mean: ``"regressor"`` for the regressor's latent, ``"prior"`` for the generator's mean latent.
        sigma: First step size, in standard deviations of the generator's latents.
        population: Candidates per generation; 0: the default of CMA-ES, 4 + 3 ln(dimensions).
        diagonal: Number of dimensions from which on only a diagonal covariance is learnt (Ros and Hansen 2008).
    """

    def __init__(self, start: str = "regressor", sigma: float = 0.3, population: int = 0, diagonal: int = 64) -> None:
        if start not in ("regressor", "prior"):
            raise ValueError(f"start must be 'regressor' or 'prior', got '{start}'.")
        self.start = start
        self.sigma = sigma
        self.population = population
        self.diagonal = diagonal

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the best latent of all generations."""
        like, targets = task.descriptors, len(task.descriptors)
        mean, scale = spread(task.generator, task.space, like)
        first = self._begin(task)
        best = Best.none(first)
        strategies = Strategies(mean.numel(), self.sigma, task.seeds, self.population, self.diagonal)
        if task.steps:
            self._offer(task, best, first[:, None])
        for _ in range((task.steps - 1) // strategies.size):
            moves = strategies.ask().to(like).view(targets, -1, *mean.shape)
            strategies.tell(self._offer(task, best, first[:, None] + scale * moves))
        images = task.generator(best.candidate, task.space)
        return Inversion(best.candidate, images, task.generator(first, task.space), best.trajectory())

    def _begin(self, task: InversionTask) -> Tensor:
        """Return the latents to search around, ``(B, *latent_shape)``."""
        if self.start == "regressor":
            return task.start(task.descriptors)
        mean, _ = spread(task.generator, task.space, task.descriptors)
        return mean.expand(len(task.descriptors), *mean.shape).clone()

    def _offer(self, task: InversionTask, best: Best, latents: Tensor) -> Tensor:
        """Score latents ``(B, n, …)``, keep the best, and return the values ``(B, n)``."""
        of = rows_of(len(latents), latents.shape[1])
        total, terms = task.score(of, latents=latents.flatten(0, 1))
        best.offer(latents, total, terms)
        return total.view(latents.shape[:2])
