"""Linear estimate of the expected image given a descriptor, E[image | descriptor] (ridge regression)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.contracts.networks import Generator
from faceinv.contracts.progress import Reporter
from faceinv.probes.whitening import Whitening

#: Maximum number of images to fit.
_IMAGES = 8192
_BATCH = 32
#: Side in pixels of the fitted images: their linear part is smooth.
_SIDE = 64
#: Ridge penalty of a whitened axis, as a share of the number of images.
_RIDGE = 1 / 8


class ConditionalMean:
    """Expected images given descriptors: a ridge regression from whitened descriptors to pixels.

    The conditional mean has the smallest mean squared error of all estimates, so no linear estimate has a higher
    PSNR; a reconstruction that exceeds it uses non-linear information. The result is a blur: an upper bound for pixel
    metrics, not an attack.

    Args:
        whitening: Whitening of the descriptors.
        coefficients: ``(1 + D, 3 * h * w)``; the first row is the mean image.
        size: Height and width of the returned images.
    """

    def __init__(self, whitening: Whitening, coefficients: Tensor, size: tuple[int, int]) -> None:
        self._whitening = whitening
        self._coefficients = coefficients
        self._size = size

    def __call__(self, descriptors: Tensor) -> Tensor:
        """Return the expected images ``(N, 3, H, W)`` in ``[0, 1]`` given ``descriptors`` ``(N, D)``, on the CPU."""
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
        generator: Generates the images once more, since they are not kept.
        space: Latent space.
        whitening: Whitening of the descriptors.
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
    """Return height and width, each limited to 64 pixels."""
    return min(size[0], _SIDE), min(size[1], _SIDE)
