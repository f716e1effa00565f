"""The two methods of ID2image (Li, Smith, Huber 2023): regress the latent from the descriptor, then optimise it."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Adam, Best, Convergence
from faceinv.contracts import Candidate, Inversion, InversionTask


class Regression:
    """The regressor's latent, unchanged (section 4.1; Fig. 5, middle row)."""

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images of the regressed latents."""
        with torch.no_grad():
            latents = task.start(task.descriptors)
            images = task.generator(latents, task.space)
        return Inversion(latents, images, images)


class LatentAdam:
    """Adam on the latent, starting from the regressor's (sections 4.1 and 4.2).

    The loss is summed over the batch and Adam treats each element separately, so targets do not affect each other.
    Converged targets are removed from the batch and keep their best latent; the others keep their last, as in the
    paper.

    Args:
        learning_rate: Adam's step size. The paper's 0.001 is for StyleGAN2 and an unstated number of
            steps; 0.05 suffices in 80 steps on the default chain, and 0.1 strays too far from typical faces.
        patience: Steps without progress after which a target has converged; 0: never, as in the paper.
        tolerance: Progress is a decrease of the objective by more than this share of its best value.
    """

    def __init__(self, learning_rate: float = 0.05, patience: int = 40, tolerance: float = 0.02) -> None:
        self.learning_rate = learning_rate
        self.patience = patience
        self.tolerance = tolerance

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after at most ``task.steps`` steps, and the losses at each step."""
        prepared = task.objective.prepare(task.descriptors)
        with torch.no_grad():
            first = task.start(task.descriptors)
            start = task.generator(first, task.space)
        latents = first.clone().requires_grad_()
        optimizer = Adam(latents, self.learning_rate)
        best = Best.none(first)
        going = Convergence(len(first), self.patience, self.tolerance, like=first)
        trajectory: dict[str, list[Tensor]] = {}
        for _ in range(task.steps):
            images = task.generator(latents, task.space)
            total, terms = task.objective(Candidate(latents, images, task.encode(images, going.rows)), prepared)
            # autograd.grad: only the latents get a gradient, and none accumulates.
            (gradient,) = torch.autograd.grad(total.sum(), latents)
            best.offer(latents.detach()[:, None], total.detach(), {}, going.rows)
            optimizer.step(gradient)
            for name, value in ({"total": total.detach()} | terms).items():
                series = trajectory.setdefault(name, [])
                series.append(series[-1].index_copy(0, going.rows, value) if series else value)
            stay = going.step(best.total)
            if stay is not None:
                latents = optimizer.keep(stay)
                if not len(stay):
                    break
                prepared = task.objective.prepare(task.descriptors[going.rows])
        found = best.candidate.index_copy(0, going.rows, latents.detach())
        with torch.no_grad():
            images = task.generator(found, task.space)
        return Inversion(found, images, start, {name: torch.stack(series) for name, series in trajectory.items()})
