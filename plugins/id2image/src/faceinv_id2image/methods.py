"""The paper's two methods: read the latent from the descriptor, then optimise it."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Best, Convergence, keep_rows
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
    target feels its batch mates. A target that has converged leaves with the best latent it had; the others end with
    their last, as the paper's do.

    Args:
        learning_rate: Adam's step size. The paper's 0.001 is for StyleGAN2 and an unstated number of
            steps; 0.05 gets there in 100 on the default chain, and 0.1 too far from typical faces.
        patience: Steps without progress after which a target has converged and leaves; 0: never, as in the paper.
        tolerance: What counts as progress: a fall of the objective by more than this share of its best value.
    """

    def __init__(self, learning_rate: float = 0.05, patience: int = 40, tolerance: float = 0.02) -> None:
        self.learning_rate = learning_rate
        self.patience = patience
        self.tolerance = tolerance

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after ``task.steps`` steps, and the losses on the way."""
        prepared = task.objective.prepare(task.descriptors)
        with torch.no_grad():
            first = task.start(task.descriptors)
            start = task.generator(first, task.space)
        latents = first.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.learning_rate)
        best = Best.none(first)
        going = Convergence(len(first), self.patience, self.tolerance, like=first)
        trajectory: dict[str, list[Tensor]] = {}
        for _ in range(task.steps):
            images = task.generator(latents, task.space)
            total, terms = task.objective(Candidate(latents, images, task.encode(images, going.rows)), prepared)
            # Fresh gradients each step: nothing but the latents asks for any.
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            best.offer(latents.detach()[:, None], total.detach(), {}, going.rows)
            optimizer.step()
            for name, value in ({"total": total.detach()} | terms).items():
                series = trajectory.setdefault(name, [])
                series.append(series[-1].index_copy(0, going.rows, value) if series else value)
            stay = going.step(best.total)
            if stay is not None:
                latents = keep_rows(optimizer, stay)
                if not len(stay):
                    break
                prepared = task.objective.prepare(task.descriptors[going.rows])
        found = best.candidate.index_copy(0, going.rows, latents.detach())
        with torch.no_grad():
            images = task.generator(found, task.space)
        return Inversion(found, images, start, {name: torch.stack(series) for name, series in trajectory.items()})
