"""Similarity transforms between framings, and differentiable warps by them.

Frame coordinates run from (0, 0), the outer corner of the first pixel, to (1, 1), the outer corner of the last. Pixel
coordinates are frame coordinates times the size, so the centre of the first pixel is (0.5, 0.5).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from faceinv.contracts.networks import check_images
from faceinv.contracts.specs import Framing

FloatArray = npt.NDArray[np.float64]


def pixel_points(framing: Framing) -> FloatArray:
    """Return the five points of ``framing`` in its pixel coordinates, ``(5, 2)``."""
    height, width = framing.size
    return np.asarray(framing.points, dtype=np.float64) * (width, height)


def similarity(source: npt.ArrayLike, target: npt.ArrayLike) -> FloatArray:
    """Return the least-squares similarity ``(2, 3)`` that maps points ``source`` to ``target``.

    Rotation, uniform scale and translation, without reflection (Umeyama 1991).

    Args:
        source: ``(n, 2)`` points, n ≥ 2, not all equal.
        target: ``(n, 2)`` points.

    Raises:
        ValueError: the points do not determine a similarity.
    """
    a = np.asarray(source, dtype=np.float64)
    b = np.asarray(target, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 2 or a.shape[1] != 2 or len(a) < 2:
        raise ValueError(f"Expected two lists of at least two (x, y) points, got shapes {a.shape} and {b.shape}.")
    mean_a, mean_b = a.mean(0), b.mean(0)
    # In the plane a similarity is a complex factor, so that least squares has a closed form.
    p = (a - mean_a) @ (1, 1j)
    q = (b - mean_b) @ (1, 1j)
    spread = float(np.vdot(p, p).real)
    if not math.isfinite(spread) or spread < 1e-12:
        raise ValueError("The points are all equal or not finite, so they do not determine a similarity.")
    factor = np.vdot(p, q) / spread
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    return np.column_stack([linear, mean_b - linear @ mean_a])


def framing_similarity(source: Framing, target: Framing) -> FloatArray:
    """Return the pixel similarity ``(2, 3)`` from ``source`` to ``target``."""
    return similarity(pixel_points(source), pixel_points(target))


def apply_similarity(matrix: FloatArray, points: npt.ArrayLike) -> FloatArray:
    """Apply ``matrix`` ``(2, 3)`` to ``points`` ``(..., 2)``."""
    moved: FloatArray = np.asarray(points, dtype=np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


class Warp(nn.Module):
    """Resample images by a fixed pixel similarity, repeating the border beyond the source's edge.

    Bilinear, preceded by a Gaussian against aliasing if the similarity shrinks. Differentiable in the images.

    Args:
        matrix: ``(2, 3)``, from source pixels to target pixels.
        source_size: Height and width of the images.
        target_size: Height and width of the result.
    """

    grid: Tensor
    kernel: Tensor

    def __init__(self, matrix: FloatArray, source_size: tuple[int, int], target_size: tuple[int, int]) -> None:
        super().__init__()
        self.source_size = source_size
        self.target_size = target_size
        identity = np.allclose(matrix, [[1, 0, 0], [0, 1, 0]], atol=1e-9)
        self.is_identity = bool(identity) and source_size == target_size
        self._matrix = np.array(matrix, dtype=np.float64)
        scale = _scale(self._matrix)
        self._step = _step(scale)
        self.register_buffer("grid", self._sampling_grid(), persistent=False)
        self.register_buffer("kernel", _antialias_kernel(scale), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return ``(B, 3, *target_size)`` for images ``(B, 3, *source_size)``."""
        check_images(images, self.source_size)
        if self.is_identity:
            return images
        if len(self.kernel) > 1:
            images = self._blur(images, self.kernel.to(images))
        # Half precision would misplace pixels: coordinates need more than its 11 bits.
        dtype = torch.promote_types(images.dtype, torch.float32)
        grid = self.grid.to(images.device, dtype).expand(len(images), -1, -1, -1)
        resampled = nn.functional.grid_sample(
            images.to(dtype), grid, mode="bilinear", padding_mode="border", align_corners=False
        )
        return resampled.to(images.dtype)

    def _sampling_grid(self) -> Tensor:
        """Return ``(1, *target_size, 2)`` float32: the position of each target pixel in the blurred image."""
        inverse = np.linalg.inv(self._matrix[:, :2])
        height, width = self.target_size
        x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
        source = (np.stack([x, y], axis=-1) - self._matrix[:, 2]) @ inverse.T
        # The blurred image has every ``_step``-th pixel of the source, starting with the first.
        place = (source - 0.5) / self._step + 0.5
        size = [_strided(side, self._step) for side in self.source_size[::-1]]
        return torch.from_numpy(2 * place / size - 1).float()[None]

    def _blur(self, images: Tensor, kernel: Tensor) -> Tensor:
        """Return ``images`` blurred by a Gaussian at every ``_step``-th pixel, with repeated borders."""
        channels, radius, step = images.shape[1], len(kernel) // 2, self._step
        # Up to the last pixel or beyond, so that the result's border is that of the images.
        bottom, right = ((_strided(side, step) - 1) * step - (side - 1) + radius for side in self.source_size)
        images = nn.functional.pad(images, (radius, right, radius, bottom), mode="replicate")
        row = kernel.view(1, 1, 1, -1).expand(channels, 1, 1, -1)
        images = nn.functional.conv2d(images, row, stride=(1, step), groups=channels)
        return nn.functional.conv2d(images, row.transpose(2, 3), stride=(step, 1), groups=channels)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Warp:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.grid.dtype not in (torch.float32, torch.float64) and not self.grid.is_meta:
            self.grid = self._sampling_grid().to(self.grid.device)
        return self


def warp_between(source: Framing, target: Framing) -> Warp:
    """Return the :class:`Warp` from ``source`` to ``target``."""
    return Warp(framing_similarity(source, target), source.size, target.size)


def align(image: Tensor, points: npt.ArrayLike, framing: Framing) -> Tensor:
    """Bring one photograph into ``framing``.

    Args:
        image: ``(3, H, W)`` in ``[0, 1]``.
        points: ``(5, 2)``, pixel coordinates of its five points.
        framing: The framing to bring the face into.

    Returns:
        ``(3, *framing.size)`` in ``[0, 1]``.

    Raises:
        ValueError: the points do not determine a similarity.
    """
    matrix = similarity(points, pixel_points(framing))
    aligned: Tensor = _view(matrix, (int(image.shape[1]), int(image.shape[2])), framing.size).to(image.device)(image)
    return aligned


def view_between(source: Framing, target: Framing) -> View:
    """Return the :class:`View` from ``source`` to ``target``: :func:`warp_between` for single images."""
    return _view(framing_similarity(source, target), source.size, target.size)


class View(nn.Module):
    """A :class:`Warp` that processes only the part of an image that the result depends on.

    Args:
        warp: Warp of the part.
        box: The part (left, top, right, bottom) in pixels.
        source_size: Height and width of the images.
    """

    def __init__(self, warp: Warp, box: tuple[int, ...], source_size: tuple[int, int]) -> None:
        super().__init__()
        self.warp = warp
        self._box = box
        self._source_size = source_size

    def forward(self, image: Tensor) -> Tensor:
        """Return ``(3, *target_size)`` for an image ``(3, *source_size)``."""
        check_images(image[None], self._source_size)
        left, top, right, bottom = self._box
        seen: Tensor = self.warp(image[None, :, top:bottom, left:right])[0]
        return seen


def _view(matrix: FloatArray, source_size: tuple[int, int], target_size: tuple[int, int]) -> View:
    box = _footprint(matrix, target_size, source_size)
    left, top, right, bottom = box
    # A photograph may be hundreds of times larger than the face.
    cut = matrix.copy()
    cut[:, 2] += matrix[:, :2] @ (left, top)
    return View(Warp(cut, (bottom - top, right - left), target_size), box, source_size)


def _footprint(matrix: FloatArray, target_size: tuple[int, int], source_size: tuple[int, int]) -> tuple[int, ...]:
    """Return the part (left, top, right, bottom) of the source that the target depends on, in whole pixels."""
    height, width = target_size
    corners = np.array([(0, 0), (width, 0), (0, height), (width, height)], dtype=np.float64)
    reached = (corners - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    scale = _scale(matrix)
    step = _step(scale)
    margin = len(_antialias_kernel(scale)) // 2 + step + 1
    limit = np.array(source_size[::-1])
    # A face beyond the edge still needs the repeated border, and the pixels blurred into it.
    low = np.clip(np.floor(reached.min(0)) - margin, 0, np.maximum(limit - margin, 0))
    high = np.clip(np.ceil(reached.max(0)) + margin, np.minimum(margin, limit), limit)
    low -= low % step  # sample the same pixels as in the whole photograph
    return tuple(int(side) for side in (*low, *high))


def _scale(matrix: FloatArray) -> float:
    return math.sqrt(abs(float(np.linalg.det(matrix[:, :2]))))


def _step(scale: float) -> int:
    """Return the sampling distance of the blurred image in source pixels, at most a quarter of a target pixel.

    At this distance the Gaussian prevents aliasing, and interpolation adds little to its width.
    """
    return max(1, int(0.25 / scale))


def _strided(side: int, step: int) -> int:
    """Return the number of pixels, ``step`` apart, that cover ``side`` pixels from the first to the last."""
    return -(-(side - 1) // step) + 1


def _antialias_kernel(scale: float) -> Tensor:
    """Return a 1-D Gaussian for shrinking by ``scale``, or a single 1 if nothing shrinks.

    A pixel is a box of variance 1/12, and bilinear sampling between pixels s apart adds s²/6. The Gaussian adds the
    rest of the variance that the same filter has at the target's pixel size.
    """
    if scale >= 1:
        return torch.ones(1)
    variance = 0.25 / scale**2 - _step(scale) ** 2 / 6 - 1 / 12
    radius = max(1, math.ceil(3 * math.sqrt(variance)))
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-(x**2) / (2 * variance))
    return (kernel / kernel.sum()).float()
