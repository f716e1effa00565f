"""Linear estimate of the expected image given a descriptor, E[image | descriptor] (ridge regression)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.probes.whitening import Whitening

#: Side in pixels of the fitted images: their linear part is smooth. With 64, the PSNR is 0.01 dB higher.
_SIDE = 32
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


class ImageSums:
    """What a :class:`ConditionalMean` needs of images and their descriptors, added up batch by batch.

    In float64: whitening, which is known only when all descriptors are, amplifies the faintest axes a
    hundred-thousandfold.

    Args:
        dim: Length of a descriptor.
        size: Height and width of the images.
    """

    def __init__(self, dim: int, size: tuple[int, int]) -> None:
        height, width = self._reduced = reduced(size)
        # The first row counts every image once.
        self._products = torch.zeros(1 + dim, 3 * height * width, dtype=torch.float64)

    def add(self, descriptors: Tensor, images: Tensor) -> None:
        """Add images ``(B, 3, H, W)`` with their descriptors ``(B, D)``."""
        flat = F.adaptive_avg_pool2d(images.float(), self._reduced).flatten(1).cpu().double()
        self._products[0] += flat.sum(0)
        self._products[1:].addmm_(descriptors.cpu().double().T, flat)

    def coefficients(self, descriptors: Tensor, whitening: Whitening) -> Tensor:
        """Return the coefficients ``(1 + D, 3 * h * w)`` of a :class:`ConditionalMean`, on the CPU.

        Args:
            descriptors: ``(N, D)``: all that were added.
            whitening: Whitening of the descriptors.
        """
        mean, matrix = whitening.mean.cpu(), whitening.matrix.cpu()
        n, total = len(descriptors), self._products[0]
        whitened = (descriptors.double() - mean) @ matrix
        inputs = torch.cat([torch.ones(n, 1, dtype=torch.float64), whitened], 1)
        products = torch.cat([total[None], matrix.T @ (self._products[1:] - mean[:, None] * total)])
        penalty = torch.full((inputs.shape[1],), _RIDGE * n, dtype=torch.float64)
        penalty[0] = 0
        solved: Tensor = torch.linalg.solve(inputs.T @ inputs + penalty.diag(), products)
        return solved.float()


def reduced(size: torch.Size | tuple[int, int]) -> tuple[int, int]:
    """Return height and width, each limited to 32 pixels."""
    return min(size[0], _SIDE), min(size[1], _SIDE)
