"""This project's method: every axis of the descriptor counts, and only what survives a change of view.

Three things beyond Adam on the paper's objective, each of which can be switched off:

* The distance of whitened descriptors joins the objective. Training an encoder makes pose, light and smile faint, and
  the identity loss hardly sees them; whitened, every principal axis counts the same. It is a cosine distance: whitened,
  a photograph's descriptor is half as long again as any sample's, which no image can make good.
* At each step the encoder sees another view of the image, shifted and zoomed a little, and mirrored or not. What brings
  a single view nearer fools this encoder, and no other. Whether views are the same face to it is asked first.
* The result is a running mean of the latents, and not the one that the encoder liked best.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from faceinv.attack import Noise
from faceinv.contracts import Candidate, Inversion, InversionTask, Training
from faceinv.errors import PluginError
from faceinv_methods.views import view

#: Views that tell whether the encoder takes them for the same face, and the least budget that is worth them.
_TRIED, _LEAST = 4, 50

#: How far off the start its views may be, as a share of how far the target is.
_NEAR = 0.25


class FaceInv:
    """Adam on the objective and the whitened distance, through views, from the regressor's latent.

    Args:
        learning_rate: Adam's step size.
        whitened: Weight of the whitened distance, which is 1 for faces that have nothing in common.
        shift: How far a view is shifted at most, as a share of the frame.
        zoom: How much a view is zoomed in or out at most.
        mirror: Whether half the views are mirrored.
        mean: Over which share of the steps the mean is taken that is the result; 0: the last latent alone.
    """

    def __init__(
        self,
        learning_rate: float = 0.05,
        whitened: float = 1.0,
        shift: float = 0.03,
        zoom: float = 0.05,
        mirror: bool = True,
        mean: float = 0.08,
    ) -> None:
        self.learning_rate = learning_rate
        self.whitened = whitened
        self.shift = shift
        self.zoom = zoom
        self.mirror = mirror
        self.mean = mean
        self._whiten: Callable[[Tensor], Tensor] | None = None

    def prepare(self, training: Training) -> None:
        """Take over which axes of descriptors are faint."""
        self._whiten = training.whiten

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images that ``task.steps`` image-steps lead to."""
        if self._whiten is None:
            raise PluginError("The method 'faceinv' is told by the pairs which axes are faint; call prepare() first.")
        with torch.no_grad():
            mean = task.start(task.descriptors)
            start = task.generator(mean, task.space)
        latents = mean.clone().requires_grad_()
        optimizer = torch.optim.Adam([latents], lr=self.learning_rate)
        prepared, whitened = task.objective.prepare(task.descriptors), self._whiten(task.descriptors)
        series: dict[str, list[Tensor]] = {}
        steps = task.steps
        through_views: Tensor | None = None
        if (self.shift or self.zoom or self.mirror) and steps >= _LEAST:
            steps -= 1 + _TRIED
            # All at once: a device that is told of them step by step waits each time.
            views = Noise(task).uniform(_TRIED + steps, 4 if self.mirror else 3, low=-1)
            through_views, views = self._same_face(task, start, views[:, :_TRIED]), views[:, _TRIED:]
        share = 1 / max(1.0, self.mean * steps)
        for step in range(steps):
            images = task.generator(latents, task.space)
            seen = images
            if through_views is not None:
                seen = torch.where(through_views[:, None, None, None], self._view(images, views[:, step]), images)
            # Landmarks and colours are those of the image itself; the encoder alone sees a view.
            candidate = Candidate(latents, images, task.encode(seen))
            total, terms = task.objective(candidate, prepared)
            if self.whitened and "id-whitened" not in terms:
                distance = 1 - cosine_similarity(self._whiten(candidate.descriptors), whitened)
                total = total + self.whitened * distance
                terms = terms | {"id-whitened": distance.detach()}
            (latents.grad,) = torch.autograd.grad(total.sum(), latents)
            for name, now in ({"total": total.detach()} | terms).items():
                series.setdefault(name, []).append(now)
            optimizer.step()
            mean = torch.lerp(mean, latents.detach(), share)
        with torch.no_grad():
            images = task.generator(mean, task.space)
        return Inversion(mean, images, start, {name: torch.stack(values) for name, values in series.items()})

    def _same_face(self, task: InversionTask, images: Tensor, views: Tensor) -> Tensor:
        """Return for which targets the ``views`` ``(B, n, 3 or 4)`` of the start are the same face to the encoder.

        They are if they are much nearer to it than the target is: then there is more to be gained than they hide.
        """
        with torch.no_grad():
            own = task.encode(images)
            seen = [task.encode(self._view(images, how)) for how in views.unbind(1)]
        apart = torch.stack([1 - cosine_similarity(descriptors, own) for descriptors in seen]).mean(0)
        return apart < _NEAR * (1 - cosine_similarity(task.descriptors, own))

    def _view(self, images: Tensor, how: Tensor) -> Tensor:
        """Return a view of each image ``(B, 3, H, W)``, as ``how`` ``(B, 3 or 4)`` says."""
        return view(images, how, self.shift, self.zoom)
