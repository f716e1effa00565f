"""Many starts, the best of them optimised under augmentation and selected by how well they survive it.

Struppek et al., "Plug & Play Attacks", ICML 2022, carried over from inverting classifiers to inverting descriptors.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Adam, Best, Noise, rows_of
from faceinv.contracts import Candidate, Inversion, InversionTask
from faceinv_methods.views import view


class MultiStart:
    """Score samples of the generator, optimise the best few, and keep the one whose views score best on average.

    Args:
        starts: Share of the budget for scoring starts.
        selection: Share of the budget for the final selection.
        kept: Number of starts optimised at a budget of 100; it grows with the square root of the budget.
        learning_rate: Adam's step size.
        shift: Largest shift of a view, as a share of the frame.
        zoom: Largest change of scale of a view, as a share.
    """

    def __init__(
        self,
        starts: float = 0.3,
        selection: float = 0.1,
        kept: float = 1.0,
        learning_rate: float = 0.05,
        shift: float = 0.03,
        zoom: float = 0.05,
    ) -> None:
        self.starts = starts
        self.selection = selection
        self.kept = kept
        self.learning_rate = learning_rate
        self.shift = shift
        self.zoom = zoom

    def __call__(self, task: InversionTask) -> Inversion:
        """Return each target's best candidate under augmentation."""
        noise, targets = Noise(task), len(task.descriptors)
        sampled = max(1, int(self.starts * task.steps))
        kept = max(1, min(sampled, round(self.kept * (task.steps / 100) ** 0.5)))
        views = int(self.selection * task.steps) // kept if kept > 1 else 0
        steps = max(0, (task.steps - sampled) // kept - views)

        with torch.no_grad():
            drawn = noise.latents(sampled, task.generator, task.space)
            best = Best.none(drawn[:, 0])
            if task.steps:
                total, terms = task.score(rows_of(targets, sampled), latents=drawn.flatten(0, 1))
                best.offer(drawn, total, terms)
                order = total.view(targets, sampled).argsort(1)[:, :kept]
            else:
                order = torch.zeros(targets, 1, dtype=torch.long, device=drawn.device)
            start = task.generator(best.candidate, task.space)
            chosen = drawn[torch.arange(targets, device=drawn.device)[:, None], order].flatten(0, 1)
        latents, trajectory = self._optimised(task, noise, chosen, kept, steps, best)
        with torch.no_grad():
            if views:
                winner = self._selected(task, noise, latents, kept, views)
                latents = latents[torch.arange(targets, device=latents.device), winner]
            else:
                latents = latents[:, 0]
            images = task.generator(latents, task.space)
        return Inversion(latents, images, start, trajectory)

    def _optimised(
        self, task: InversionTask, noise: Noise, chosen: Tensor, kept: int, steps: int, best: Best
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the latents ``(B, kept, …)`` after ``steps`` steps each, and the best values so far."""
        targets = len(task.descriptors)
        of = rows_of(targets, kept)
        prepared = task.objective.prepare(task.descriptors.repeat_interleave(kept, 0))
        latents = chosen.clone().requires_grad_()
        optimizer = Adam(latents, self.learning_rate)
        for _ in range(steps):
            images = task.generator(latents, task.space)
            # Only the encoder sees a view; other losses see the image itself.
            candidate = Candidate(latents, images, task.encode(self._view(images, noise, kept), of))
            total, terms = task.objective(candidate, prepared)
            (gradient,) = torch.autograd.grad(total.sum(), latents)
            best.offer(latents.detach().unflatten(0, (targets, kept)), total.detach(), terms)
            optimizer.step(gradient)
        return latents.detach().unflatten(0, (targets, kept)), best.trajectory()

    def _selected(self, task: InversionTask, noise: Noise, latents: Tensor, kept: int, views: int) -> Tensor:
        """Return the index of each target's candidate with the best average over its views, ``(B,)``."""
        targets, codes = len(latents), latents.flatten(0, 1)
        of = rows_of(targets, kept)
        prepared = task.objective.prepare(task.descriptors.repeat_interleave(kept, 0))
        images = task.generator(codes, task.space)
        totals = [
            task.objective(Candidate(codes, images, task.encode(self._view(images, noise, kept), of)), prepared)[0]
            for _ in range(views)
        ]
        return torch.stack(totals).mean(0).view(targets, kept).argmin(1)

    def _view(self, images: Tensor, noise: Noise, kept: int) -> Tensor:
        """Return a random view of each image ``(B * kept, 3, H, W)``."""
        return view(images, noise.uniform(kept, 3, low=-1).flatten(0, 1), self.shift, self.zoom)
