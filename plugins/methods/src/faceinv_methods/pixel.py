"""Gradient descent on pixels with natural-image priors: Mahendran and Vedaldi, CVPR 2015.

It uses no generator, and shows that an image which the encoder accepts need not be a face.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import Adam, Noise
from faceinv.contracts import Candidate, Inversion, InversionTask


class Pixel:
    """Minimise the objective plus the α-norm and the total variation of the image (their equations 2 to 4).

    Args:
        learning_rate: Adam's step size, in pixel values.
        alpha: Exponent of the norm of the image around mid-grey (theirs: 6).
        norm_weight: Weight of ``mean |2 (x − ½)|^α``.
        beta: Exponent of the total variation (theirs: 2, or 1 for sharp edges).
        variation_weight: Weight of ``mean (Δx² + Δy²)^(β/2)``, in pixel values.
        jitter: Largest shift of the image that the encoder sees, in hundredths of its width.
        start_noise: Standard deviation of the initial noise around mid-grey.
    """

    def __init__(
        self,
        learning_rate: float = 0.02,
        alpha: float = 6.0,
        norm_weight: float = 0.1,
        beta: float = 2.0,
        variation_weight: float = 20.0,
        jitter: float = 3.0,
        start_noise: float = 0.05,
    ) -> None:
        self.learning_rate = learning_rate
        self.alpha = alpha
        self.norm_weight = norm_weight
        self.beta = beta
        self.variation_weight = variation_weight
        self.jitter = jitter
        self.start_noise = start_noise

    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images after ``task.steps`` steps, without latents."""
        noise, prepared = Noise(task), task.objective.prepare(task.descriptors)
        height, width = _frame(task)
        start = (0.5 + self.start_noise * noise.normal(3, height, width)).clamp(0, 1)
        image = start.clone().requires_grad_()
        optimizer = Adam(image, self.learning_rate)
        reach = round(self.jitter * width / 100)
        series: dict[str, list[Tensor]] = {}
        for _ in range(task.steps):
            shown = shifted(image, noise.uniform(2), reach)
            # Only the encoder sees the shifted image; other losses see the image itself.
            total, terms = task.objective(Candidate(None, image, task.encode(shown)), prepared)
            value = total + self.norm_weight * self._norm(image) + self.variation_weight * self._variation(image)
            (gradient,) = torch.autograd.grad(value.sum(), image)
            optimizer.step(gradient)
            with torch.no_grad():
                image.clamp_(0, 1)
            for name, now in ({"total": total.detach()} | terms).items():
                series.setdefault(name, []).append(now)
        return Inversion(None, image.detach(), start, {name: torch.stack(values) for name, values in series.items()})

    def _norm(self, image: Tensor) -> Tensor:
        return (2 * (image - 0.5)).abs().pow(self.alpha).flatten(1).mean(1)

    def _variation(self, image: Tensor) -> Tensor:
        right = image[..., :-1, 1:] - image[..., :-1, :-1]
        down = image[..., 1:, :-1] - image[..., :-1, :-1]
        # The square root has no gradient at 0.
        return (right.square() + down.square() + 1e-8).pow(self.beta / 2).flatten(1).mean(1)


def shifted(images: Tensor, where: Tensor, reach: int) -> Tensor:
    """Return images ``(B, 3, H, W)`` shifted by whole pixels, with the edge replicated.

    Args:
        images: The images.
        where: ``(B, 2)`` in [0, 1): vertical and horizontal shift, as a position between −``reach`` and ``reach``.
        reach: Largest shift in pixels.
    """
    if not reach:
        return images
    height, width = images.shape[2:]
    padded = F.pad(images, (reach,) * 4, mode="replicate")
    # Gathered rather than sliced: the places never leave the device.
    top, left = (where * (2 * reach + 1)).long().view(-1, 1, 1, 1, 2).unbind(4)
    rows = top + torch.arange(height, device=where.device)[:, None]
    columns = left + torch.arange(width, device=where.device)
    band = padded.gather(2, rows.expand(-1, 3, -1, padded.shape[3]))
    return band.gather(3, columns.expand(-1, 3, height, -1))


def _frame(task: InversionTask) -> tuple[int, int]:
    """Return height and width of the generator's images; nothing else of it is used."""
    with torch.no_grad():
        stream = torch.Generator().manual_seed(0)
        latents = task.generator.sample(1, task.space, stream).to(task.descriptors)
        height, width = task.generator(latents, task.space).shape[2:]
    return height, width
