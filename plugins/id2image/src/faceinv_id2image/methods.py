"""The paper's two methods: read the latent from the descriptor, then optimise it."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts import Candidate, Inversion, InversionTask


class Regression:
    """The regressor's latent as it is (section 4.1; Fig. 5, middle row)."""

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images of the regressed latents."""
        with torch.no_grad():
            latents = task.start(task.descriptors)
            images = task.generator(latents, task.space)
        return Inversion(latents, images, images)


class LatentAdam:
    """Adam on the latent, from the regressor's (sections 4.1 and 4.2).

    The sum over the batch is what is differentiated and Adam works on each number alone, so no
    target feels its batch mates.

    Args:
        learning_rate: Adam's step size. The paper's 0.001 is for StyleGAN2 and an unstated number of
            steps; 0.05 gets there in 100 on the default chain, and 0.1 too far from typical faces.
    """

    def __init__(self, learning_rate: float = 0.05) -> None:
        self.learning_rate = learning_rate

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after ``task.steps`` steps, and the losses on the way."""
        prepared = task.objective.prepare(task.descriptors)
        with torch.no_grad():
            first = task.start(task.descriptors)
            start = task.generator(first, task.space)
        latents = first.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.learning_rate)
        totals: list[Tensor] = []
        terms: dict[str, list[Tensor]] = {}
        for _ in range(task.steps):
            images = task.generator(latents, task.space)
            total, values = task.objective(Candidate(latents, images, task.encode(images)), prepared)
            # Fresh gradients each step: nothing but the latents asks for any.
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            optimizer.step()
            totals.append(total.detach())
            for name, value in values.items():
                terms.setdefault(name, []).append(value)
        with torch.no_grad():
            images = task.generator(latents, task.space)
        trajectory = {name: torch.stack(series) for name, series in ({"total": totals} | terms).items() if series}
        return Inversion(latents.detach(), images, start, trajectory)
