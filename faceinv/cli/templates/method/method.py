"""The method: descriptors to reconstructions."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts import Inversion, InversionTask


class MyMethod:
    """From the regressor's latent, random steps; one is kept for each target that it brings nearer.

    It asks for scores alone, so an encoder that gives no gradient will do.

    Args:
        step: Standard deviation of a step.
    """

    def __init__(self, step: float = 0.2) -> None:
        self.step = step

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the reconstructions of all targets in ``task``."""
        each = torch.arange(len(task.descriptors))
        # One source of randomness for each target: its result does not depend on who is beside it.
        rngs = [torch.Generator().manual_seed(seed) for seed in task.seeds]
        best = task.start(task.descriptors)
        start = task.generator(best, task.space)
        least = torch.full((len(best),), torch.inf, dtype=best.dtype, device=best.device)
        totals: list[Tensor] = []
        for step in range(task.steps):
            noise = torch.stack([torch.randn(best.shape[1:], generator=rng) for rng in rngs]).to(best)
            tried = best + self.step * noise if step else best
            # One query of each target, of which it has task.steps; the host counts.
            total, _ = task.score(each, latents=tried)
            better = total < least
            least = torch.where(better, total, least)
            best = torch.where(better.view(-1, *[1] * (best.ndim - 1)), tried, best)
            totals.append(least)
        trajectory = {"total": torch.stack(totals)} if totals else {}
        return Inversion(best, task.generator(best, task.space), start, trajectory)
