"""The image that a descriptor says most about: E[image | descriptor], as far as a linear map can read it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.contracts.networks import Generator
from faceinv.contracts.progress import Reporter
from faceinv.probes.whitening import Whitening

#: Images that it is learnt from at most.
_IMAGES = 8192
_BATCH = 32
#: Pixels a side that it is learnt for: what a descriptor says of an image linearly is smooth.
_SIDE = 64
#: Penalty of a whitened axis, as a share of the images: as if it had said nothing in so many more.
_RIDGE = 1 / 8


class ConditionalMean:
    """Descriptors to the images expected of them: a ridge regression from whitened descriptors to pixels.

    The conditional mean has the least mean squared error of all guesses; no reconstruction beats it in PSNR but by
    what a linear map does not read. It is a blur and no face: a ceiling for pixels, not a method.

    Args:
        whitening: Of the descriptors.
        coefficients: ``(1 + D, 3 * h * w)``; the first row is the mean image.
        size: Height and width of the images that are returned.
    """

    def __init__(self, whitening: Whitening, coefficients: Tensor, size: tuple[int, int]) -> None:
        self._whitening = whitening
        self._coefficients = coefficients
        self._size = size

    def __call__(self, descriptors: Tensor) -> Tensor:
        """Return the images ``(N, 3, H, W)`` in ``[0, 1]`` expected of ``descriptors`` ``(N, D)``, on the CPU."""
        whitened = self._whitening(descriptors.to(self._whitening.mean.device)).float().cpu()
        flat = self._coefficients[0] + whitened @ self._coefficients[1:]
        images = flat.view(-1, 3, *reduced(self._size))
        if self._size != images.shape[2:]:
            images = F.interpolate(images, self._size, mode="bilinear", align_corners=False)
        expected: Tensor = images.clamp(0, 1)
        return expected


@torch.inference_mode()
def coefficients(
    latents: Tensor,
    descriptors: Tensor,
    generator: Generator,
    space: str,
    whitening: Whitening,
    progress: Reporter | None = None,
) -> Tensor:
    """Return the coefficients ``(1 + D, 3 * h * w)`` of a :class:`ConditionalMean`, on the CPU.

    Args:
        latents: ``(N, *latent_shape)``.
        descriptors: ``(N, D)`` of their images.
        generator: Makes the images anew, since nobody keeps them.
        space: Latent space.
        whitening: Of the descriptors.
        progress: Called with (what, done, of).
    """
    device, n = whitening.mean.device, min(_IMAGES, len(latents))
    inputs = torch.cat([torch.ones(n, 1), whitening(descriptors[:n].to(device)).float().cpu()], 1)
    products: Tensor | None = None
    for first in range(0, n, _BATCH):
        part = slice(first, min(first + _BATCH, n))
        images = generator(latents[part].to(device), space).float()
        flat = F.adaptive_avg_pool2d(images, reduced(images.shape[2:])).flatten(1).cpu()
        product = inputs[part].T @ flat
        products = product if products is None else products.add_(product)
        if progress:
            progress("expected images", part.stop, n)
    penalty = torch.full((inputs.shape[1],), _RIDGE * n)
    penalty[0] = 0
    solved: Tensor = torch.linalg.solve(inputs.T @ inputs + penalty.diag(), products)
    return solved


def reduced(size: torch.Size | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, brought down to 64 pixels where there are more."""
    return min(size[0], _SIDE), min(size[1], _SIDE)
