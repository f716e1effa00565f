"""This project's method: every axis of the descriptor counts, and the search begins where a latent may plausibly be.

Three things beyond Adam on the paper's objective, each of which can be switched off:

* The distance of whitened descriptors joins the objective. Training an encoder makes pose, light and smile faint, and
  the identity loss hardly sees them; whitened, every principal axis counts the same.
* Several starts are tried: the regressor's latent, and others as far from it as the latents of the attack's own pairs
  are from what is read of their descriptors. They are samples of what the descriptor leaves open.
* The start that comes nearest after a trial gets the rest of the budget.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts import Candidate, Inversion, InversionTask, Training
from faceinv.errors import PluginError
from faceinv.searching import Best, Noise, rows_of
from faceinv.whitening import Whitening

#: A trial of fewer steps tells nothing: then there is one start.
_LEAST_TRIAL = 10


class FaceInv:
    """Adam on the objective and the whitened distance, from the best of a few plausible starts.

    Args:
        learning_rate: Adam's step size.
        whitened: Weight of the whitened distance, which is 1 for faces that have nothing in common.
        starts: How many starts are tried.
        trial: Share of the budget that each start gets.
        spread: How far starts are from the regressor's latent, as a share of how far true latents are.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        whitened: float = 1.0,
        starts: int = 3,
        trial: float = 0.12,
        spread: float = 0.7,
    ) -> None:
        self.learning_rate = learning_rate
        self.whitened = whitened
        self.starts = starts
        self.trial = trial
        self.spread = spread
        self._whitening: Whitening | None = None
        self._residuals = torch.zeros(0)

    def prepare(self, training: Training) -> None:
        """Learn which axes are faint, and how far latents are from what a linear map reads of descriptors."""

        def make() -> dict[str, Tensor]:
            whitening = Whitening.fitted(training.descriptors, torch.arange(len(training.descriptors)))
            inputs, latents = whitening(training.descriptors), training.latents.flatten(1)
            mean = latents.mean(0)
            # Whitened inputs are orthonormal: least squares is a product.
            slopes = inputs.T @ (latents - mean) / len(inputs)
            few = slice(0, 2048)
            return dict(whitening.state_dict()) | {"residuals": latents[few] - mean - inputs[few] @ slopes}

        learnt = training.cached({"version": 2}, make)
        self._whitening = Whitening(learnt["mean"], learnt["matrix"])
        self._residuals = learnt["residuals"]

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after ``task.steps`` image-steps, the trials included."""
        if self._whitening is None:
            raise PluginError("The method 'faceinv' learns from pairs first; call prepare().")
        self._whitening.to(task.descriptors.device)
        with torch.no_grad():
            first = task.start(task.descriptors)
            start = task.generator(first, task.space)
        best, trial = Best.none(first), int(self.trial * task.steps)
        latents, spent = first, 0
        if self.starts > 1 and trial >= _LEAST_TRIAL and self.starts * trial < task.steps:
            tried, totals = self._descend(task, self._starts(task, first), trial, best)
            latents = tried[torch.arange(len(first)), totals.argmin(1)]
            spent = self.starts * trial
        latents = self._descend(task, latents[:, None], task.steps - spent, best)[0][:, 0]
        with torch.no_grad():
            images = task.generator(latents, task.space)
        return Inversion(latents, images, start, best.trajectory() if task.steps else {})

    def _starts(self, task: InversionTask, first: Tensor) -> Tensor:
        """Return the regressor's latent and others around it, ``(B, starts, *latent_shape)``."""
        shares = Noise(task).uniform(self.starts)
        which = (shares.cpu() * len(self._residuals)).long().clamp_max(len(self._residuals) - 1)
        away = self._residuals[which].view(len(first), self.starts, *first.shape[1:]).to(first)
        away[:, 0] = 0
        return first[:, None] + self.spread * away

    def _descend(self, task: InversionTask, starts: Tensor, steps: int, best: Best) -> tuple[Tensor, Tensor]:
        """Return latents ``(B, n, …)`` after ``steps`` of Adam from each start, and their last values ``(B, n)``."""
        targets, n = starts.shape[:2]
        of = rows_of(targets, n, starts)
        descriptors = task.descriptors[of]
        prepared, whitened = task.objective.prepare(descriptors), self._whiten(descriptors)
        latents = starts.flatten(0, 1).clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.learning_rate)
        total = latents.new_full((len(latents),), torch.inf)
        for _ in range(steps):
            images = task.generator(latents, task.space)
            candidate = Candidate(latents, images, task.encode(images, of))
            total, terms = task.objective(candidate, prepared)
            if self.whitened and "id-whitened" not in terms:
                distance = (self._whiten(candidate.descriptors) - whitened).square().mean(1) / 2
                total = total + self.whitened * distance
                terms = terms | {"id-whitened": distance.detach()}
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            best.offer(latents.detach().unflatten(0, (targets, n)), total.detach(), terms)
            optimizer.step()
        return latents.detach().unflatten(0, (targets, n)), total.detach().view(targets, n)

    def _whiten(self, descriptors: Tensor) -> Tensor:
        assert self._whitening is not None
        whitened: Tensor = self._whitening(descriptors)
        return whitened
