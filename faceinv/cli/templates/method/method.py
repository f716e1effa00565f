"""The method, from descriptors to reconstructions."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts import Inversion, InversionTask


class MyMethod:
    """Random search from the regressor's latent: a step is kept if it lowers the objective of its target.

    It needs scores only, so it also works on encoders that give no gradients.

    Args:
        step: Standard deviation of a step.
    """

    def __init__(self, step: float = 0.2) -> None:
        self.step = step

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return a reconstruction of every target in ``task``."""
        each = torch.arange(len(task.descriptors))
        # One random generator per target, so that its result does not depend on the rest of the batch.
        rngs = [torch.Generator().manual_seed(seed) for seed in task.seeds]
        best = task.start(task.descriptors)
        start = task.generator(best, task.space)
        least = torch.full((len(best),), torch.inf, dtype=best.dtype, device=best.device)
        totals: list[Tensor] = []
        for step in range(task.steps):
            noise = torch.stack([torch.randn(best.shape[1:], generator=rng) for rng in rngs]).to(best)
            tried = best + self.step * noise if step else best
            # One query per target; each has a budget of task.steps, which the host enforces.
            total, _ = task.score(each, latents=tried)
            better = total < least
            least = torch.where(better, total, least)
            best = torch.where(better.view(-1, *[1] * (best.ndim - 1)), tried, best)
            totals.append(least)
        trajectory = {"total": torch.stack(totals)} if totals else {}
        return Inversion(best, task.generator(best, task.space), start, trajectory)
