"""This project's method: whiten the descriptor, and keep only what survives a change of view.

It adds three things to Adam on ID2image's objective, each of which can be switched off:

* The distance of whitened descriptors joins the objective. Training an encoder attenuates pose, light and smile, so the
  identity loss hardly sees them; after whitening, all principal axes weigh the same. It is a cosine distance because a
  photograph's whitened descriptor is 1.5 times as long as any sample's, which no generated image can match.
* At each step the encoder sees another view of the image: slightly shifted, zoomed and possibly mirrored. A change that
  helps in a single view only fools this encoder and no other. First a few queries check that the encoder takes views
  for the same face.
* The result is a running mean of the latents instead of the encoder's favourite.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from faceinv.attack import Adam, Noise
from faceinv.contracts import Candidate, Inversion, InversionTask, Training
from faceinv.errors import PluginError
from faceinv_methods.views import view

#: Number of views that test whether the encoder takes them for the same face, and the smallest budget for the test.
_TRIED, _LEAST = 4, 50

#: Largest distance of views from the start, as a share of the target's distance.
_NEAR = 0.25


class FaceInv:
    """Adam on the objective plus the whitened distance, through views, starting from the regressor's latent.

    Args:
        learning_rate: Adam's step size.
        whitened: Weight of the whitened distance, which is 1 for unrelated faces.
        shift: Largest shift of a view, as a share of the frame.
        zoom: Largest change of scale of a view, as a share.
        mirror: Whether half of the views are mirrored.
        mean: Share of the steps that the running mean spans; 0: the result is the last latent.
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
        """Keep the whitening of the pairs' descriptors."""
        self._whiten = training.whiten

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after ``task.steps`` image-steps, queries for the test of views included."""
        if self._whiten is None:
            raise PluginError("The method 'faceinv' has no whitening yet; call prepare() before inverting.")
        with torch.no_grad():
            mean = task.start(task.descriptors)
            start = task.generator(mean, task.space)
        latents = mean.clone().requires_grad_()
        optimizer = Adam(latents, self.learning_rate)
        prepared, whitened = task.objective.prepare(task.descriptors), self._whiten(task.descriptors)
        series: dict[str, list[Tensor]] = {}
        steps = task.steps
        through_views: Tensor | None = None
        if (self.shift or self.zoom or self.mirror) and steps >= _LEAST:
            steps -= 1 + _TRIED
            # Drawn at once: a transfer to the device in every step would stall it.
            views = Noise(task).uniform(_TRIED + steps, 4 if self.mirror else 3, low=-1)
            through_views, views = self._same_face(task, start, views[:, :_TRIED]), views[:, _TRIED:]
        share = 1 / max(1.0, self.mean * steps)
        for step in range(steps):
            images = task.generator(latents, task.space)
            seen = images
            if through_views is not None:
                seen = torch.where(through_views[:, None, None, None], self._view(images, views[:, step]), images)
            # Only the encoder sees a view; other losses see the image itself.
            candidate = Candidate(latents, images, task.encode(seen))
            total, terms = task.objective(candidate, prepared)
            if self.whitened and "id-whitened" not in terms:
                distance = 1 - cosine_similarity(self._whiten(candidate.descriptors), whitened)
                total = total + self.whitened * distance
                terms = terms | {"id-whitened": distance.detach()}
            (gradient,) = torch.autograd.grad(total.sum(), latents)
            for name, now in ({"total": total.detach()} | terms).items():
                series.setdefault(name, []).append(now)
            optimizer.step(gradient)
            mean = torch.lerp(mean, latents.detach(), share)
        with torch.no_grad():
            images = task.generator(mean, task.space)
        return Inversion(mean, images, start, {name: torch.stack(values) for name, values in series.items()})

    def _same_face(self, task: InversionTask, images: Tensor, views: Tensor) -> Tensor:
        """Return whether the encoder takes ``views`` ``(B, n, 3 or 4)`` of the start for the same face, ``(B,)``.

        It does if they are much closer to the start than the target is: then there is more to gain than views hide.
        """
        with torch.no_grad():
            own = task.encode(images)
            seen = [task.encode(self._view(images, how)) for how in views.unbind(1)]
        apart = torch.stack([1 - cosine_similarity(descriptors, own) for descriptors in seen]).mean(0)
        return apart < _NEAR * (1 - cosine_similarity(task.descriptors, own))

    def _view(self, images: Tensor, how: Tensor) -> Tensor:
        """Return the view ``how`` ``(B, 3 or 4)`` of each image ``(B, 3, H, W)``."""
        return view(images, how, self.shift, self.zoom)
