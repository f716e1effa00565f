"""This project's method: every axis of the descriptor counts, and the search begins where a latent may plausibly be.

Three things beyond Adam on the paper's objective, each of which can be switched off:

* The distance of whitened descriptors joins the objective. Training an encoder makes pose, light and smile faint, and
  the identity loss hardly sees them; whitened, every principal axis counts the same.
* Several starts are tried: the regressor's latent, and others around it, off by a share of what the latents of the
  attack's own pairs are off from what is read of their descriptors. They are samples of what the descriptor leaves
  open, and end in different minima.
* The start that comes nearest after a trial gets the rest of the budget.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from faceinv.contracts import Candidate, Inversion, InversionTask, Training
from faceinv.errors import PluginError
from faceinv.searching import Best, Convergence, Noise, keep_rows

#: A trial of fewer steps costs more than it tells: then there is one start.
_LEAST_TRIAL = 40


class FaceInv:
    """Adam on the objective and the whitened distance, from the best of a few plausible starts.

    Args:
        learning_rate: Adam's step size.
        whitened: Weight of the whitened distance, which is 1 for faces that have nothing in common.
        starts: How many starts are tried, the regressor's among them.
        trial: Share of the budget that each start gets.
        spread: How far starts are from the regressor's latent, as a share of how far true latents are.
        patience: Steps without progress after which a target has converged and leaves; 0: never.
        tolerance: What counts as progress: a fall of the objective by more than this share of its best value.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        whitened: float = 1.0,
        starts: int = 5,
        trial: float = 0.12,
        spread: float = 0.7,
        patience: int = 0,
        tolerance: float = 0.01,
    ) -> None:
        self.learning_rate = learning_rate
        self.whitened = whitened
        self.starts = starts
        self.trial = trial
        self.spread = spread
        self.patience = patience
        self.tolerance = tolerance
        self._around: Around | None = None
        self._whiten: Callable[[Tensor], Tensor] = torch.nn.Identity()

    def prepare(self, training: Training) -> None:
        """Take over which axes of descriptors are faint, and learn how far off the reading of a latent is."""
        self._whiten = training.whiten
        self._around = Around(training)

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the best images of ``task.steps`` image-steps, the trials included."""
        if self._around is None:
            raise PluginError("The method 'faceinv' learns from pairs first; call prepare().")
        with torch.no_grad():
            first = task.start(task.descriptors)
            start = task.generator(first, task.space)
        best, trial = Best.none(first), int(self.trial * task.steps)
        latents, spent = first, 0
        if self.starts > 1 and trial >= _LEAST_TRIAL and self.starts * trial < task.steps:
            starts = self._around(first, Noise(task), self.starts, self.spread)
            # One after the other: a batch of all of them would be too large for the cache.
            tried, totals = zip(*(self._descend(task, one, trial, best) for one in starts.unbind(1)), strict=True)
            nearest = torch.stack(totals, 1).argmin(1)
            latents = torch.stack(tried, 1)[torch.arange(len(first)), nearest]
            spent = self.starts * trial
        self._descend(task, latents, task.steps - spent, best, self.patience)
        with torch.no_grad():
            images = task.generator(best.candidate, task.space)
        return Inversion(best.candidate, images, start, best.trajectory() if task.steps else {})

    def _descend(
        self, task: InversionTask, start: Tensor, steps: int, best: Best, patience: int = 0
    ) -> tuple[Tensor, Tensor]:
        """Take ``steps`` of Adam from ``start`` ``(B, …)``; without ``patience`` nobody leaves.

        Returns:
            Where the targets that stayed have come to ``(K, …)``, and their last values ``(K,)``.
        """
        going = Convergence(len(start), patience, self.tolerance, like=start)
        latents = start.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.learning_rate)
        total = latents.new_full((len(latents),), torch.inf)
        prepared, whitened = self._prepared(task, going.rows)
        for _ in range(steps):
            images = task.generator(latents, task.space)
            candidate = Candidate(latents, images, task.encode(images, going.rows))
            total, terms = task.objective(candidate, prepared)
            if self.whitened and "id-whitened" not in terms:
                distance = (self._whiten(candidate.descriptors) - whitened).square().mean(1) / 2
                total = total + self.whitened * distance
                terms = terms | {"id-whitened": distance.detach()}
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            total = total.detach()
            best.offer(latents.detach()[:, None], total, terms, going.rows)
            optimizer.step()
            stay = going.step(best.total)
            if stay is not None:
                latents, total = keep_rows(optimizer, stay), total[stay]
                if not len(stay):
                    break
                prepared, whitened = self._prepared(task, going.rows)
        return latents.detach(), total

    def _prepared(self, task: InversionTask, rows: Tensor) -> tuple[object, Tensor]:
        """Return what the losses need of the targets ``rows``, and their whitened descriptors."""
        descriptors = task.descriptors[rows]
        return task.objective.prepare(descriptors), self._whiten(descriptors)


class Around:
    """Latents around those that were read, as far from them as those of the attack's pairs are.

    Args:
        training: Whose pairs tell how far that is.
    """

    #: So many differences are drawn from.
    _KEPT = 2048

    def __init__(self, training: Training) -> None:
        pairs = len(training.descriptors)
        inputs = training.whiten(training.descriptors).cpu()
        latents = training.latents.flatten(1)
        mean = latents.mean(0)
        # Whitened inputs are orthonormal: least squares is a product.
        slopes = inputs.T @ (latents - mean) / pairs
        few = slice(0, self._KEPT)
        self._differences = latents[few] - mean - inputs[few] @ slopes

    def __call__(self, first: Tensor, noise: Noise, n: int, spread: float) -> Tensor:
        """Return ``n`` latents for each of ``first`` ``(B, *shape)``: itself and others, ``(B, n, *shape)``.

        Args:
            first: What was read.
            noise: Chooses for each target which differences are taken.
            n: How many.
            spread: What the differences are multiplied with.
        """
        shares = noise.uniform(n).cpu()
        which = (shares * len(self._differences)).long().clamp_max(len(self._differences) - 1)
        away = self._differences[which].view(len(first), n, *first.shape[1:]).to(first)
        away[:, 0] = 0
        return first[:, None] + spread * away
