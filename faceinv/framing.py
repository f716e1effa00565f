"""From one framing to another: one similarity transform, differentiable, done here and nowhere else.

Frame coordinates run from (0, 0), the outer corner of the first pixel, to (1, 1), that of the last;
pixel coordinates are those times the size, so the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.specs import Framing

FloatArray = npt.NDArray[np.float64]


def pixel_points(framing: Framing) -> FloatArray:
    """Return the five points of ``framing`` in its pixel coordinates, ``(5, 2)``."""
    height, width = framing.size
    return np.asarray(framing.points, dtype=np.float64) * (width, height)


def similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Return the least-squares similarity ``(2, 3)`` that takes points ``source`` to ``target``.

    Rotation, uniform scale and translation; never a reflection (Umeyama 1991).

    Args:
        source: ``(n, 2)`` points, n ≥ 2, not all in one place.
        target: ``(n, 2)`` points.

    Raises:
        ValueError: the points cannot determine a similarity.
    """
    a = np.asarray(source, dtype=np.float64)
    b = np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise ValueError(f"Two lists of at least two (x, y) points are due, got shapes {a.shape} and {b.shape}.")
    mean_a, mean_b = a.mean(0), b.mean(0)
    # In the plane a similarity is one complex factor: least squares has a closed form.
    p = (a - mean_a) @ (1, 1j)
    q = (b - mean_b) @ (1, 1j)
    spread = float(np.vdot(p, p).real)
    if not math.isfinite(spread) or spread < 1e-12:
        raise ValueError("The points are all in one place or not finite: they determine no similarity.")
    factor = np.vdot(p, q) / spread
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, mean_b - linear @ mean_a])


def framing_similarity(source: Framing, target: Framing) -> FloatArray:
    """Return the pixel similarity ``(2, 3)`` from ``source`` to ``target``."""
    return similarity(pixel_points(source), pixel_points(target))


def apply_similarity(matrix: FloatArray, points: npt.ArrayLike) -> FloatArray:
    """Return ``points`` ``(..., 2)`` moved by ``matrix`` ``(2, 3)``."""
    moved: FloatArray = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


class Warp(nn.Module):
    """Resample images by a fixed pixel similarity; beyond the source's edge its border repeats.

    Bilinear, after a Gaussian that removes what the target's sampling could not carry when the
    similarity shrinks. Differentiable in the images.

    Args:
        matrix: ``(2, 3)``, source pixels to target pixels.
        source_size: Height and width of the images.
        target_size: Height and width of the result.
    """

    grid: Tensor
    kernel: Tensor

    def __init__(self, matrix: FloatArray, source_size: tuple[int, int], target_size: tuple[int, int]) -> None:
        super().__init__()
        self.source_size = source_size
        self.target_size = target_size
        linear = matrix[:, :2]
        inverse = np.linalg.inv(linear)
        offset = -inverse @ matrix[:, 2]
        height, width = target_size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        source = np.stack([x, y], axis=-1) @ inverse.T + offset
        grid = 2 * source / (source_size[1], source_size[0]) - 1
        self.register_buffer("grid", torch.from_numpy(grid).float()[None], persistent=False)
        kernel = _antialias_kernel(scale=math.sqrt(abs(float(np.linalg.det(linear)))))
        self.register_buffer("kernel", kernel, persistent=False)
        identity = np.allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)
        self.is_identity = bool(identity) and source_size == target_size

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, 3, *target_size)`` for images ``(B, 3, *source_size)``."""
        check_images(images, self.source_size)
        if self.is_identity:
            return images
        if len(self.kernel) > 1:
            images = _blur(images, self.kernel.to(images))
        grid = self.grid.to(images).expand(len(images), -1, -1, -1)
        return nn.functional.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=False)


def warp_between(source: Framing, target: Framing) -> Warp:
    """Return the :class:`Warp` from ``source`` to ``target``."""
    return Warp(framing_similarity(source, target), source.size, target.size)


def align(image: Tensor, points: npt.ArrayLike, framing: Framing) -> Tensor:
    """Bring one photograph into ``framing``.

    Args:
        image: ``(3, H, W)`` in ``[0, 1]``.
        points: ``(5, 2)`` pixel coordinates of its five points.

    Returns:
        ``(3, *framing.size)`` in ``[0, 1]``.
    """
    matrix = similarity(points, pixel_points(framing))
    size = (int(image.shape[1]), int(image.shape[2]))
    aligned: Tensor = Warp(matrix, size, framing.size).to(image.device)(image[None])[0]
    return aligned


def _antialias_kernel(scale: float) -> Tensor:
    """Return a 1-D Gaussian for shrinking by ``scale``, or a single 1 where nothing shrinks.

    A pixel is a box of variance 1/12, bilinear sampling adds 1/6 of a source pixel; the Gaussian
    makes up the difference to the same filter at the target's pixel size.
    """
    variance = 0.25 * (1 / scale**2 - 1)
    if variance <= 1e-6:
        return torch.ones(1)
    radius = max(1, math.ceil(3 * math.sqrt(variance)))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(x**2) / (2 * variance))
    return (kernel / kernel.sum()).float()


def _blur(images: Tensor, kernel: Tensor) -> Tensor:
    channels, radius = images.shape[1], len(kernel) // 2
    images = nn.functional.pad(images, (radius, radius, radius, radius), mode="replicate")
    row = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
    images = nn.functional.conv2d(images, row, groups=channels)
    return nn.functional.conv2d(images, row.transpose(2, 3), groups=channels)
