"""Boxes: squares, offsets, non-maximum suppression, and exact resampling of their content.

A box is (left, top, right, bottom) in pixel coordinates, where (0, 0) is the outer corner of the first pixel.
Coordinates are real numbers and are never rounded to whole pixels.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

#: Boxes resampled at a time, to bound the memory for a photograph with many faces.
_CHUNK = 256


def squared(boxes: Tensor) -> Tensor:
    """Return squares ``(n, 4)`` with the centre and the longer side of each box."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True) / 2
    return torch.cat([centre - half, centre + half], 1)


def shifted(boxes: Tensor, offsets: Tensor) -> Tensor:
    """Move the edges of ``boxes`` ``(n, 4)`` by ``offsets`` ``(n, 4)``, fractions of width and height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * sides.repeat(1, 2)


def area(boxes: Tensor) -> Tensor:
    """Return the areas ``(n,)``; that of an inverted box is 0."""
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)


def suppress(boxes: Tensor, scores: Tensor, overlap: float, *, of_smaller: bool = False) -> Tensor:
    """Return the indices of boxes that no better box overlaps by more than ``overlap``, best first.

    Args:
        boxes: ``(n, 4)``, on the CPU.
        scores: ``(n,)``, on the CPU.
        overlap: Largest intersection over union of two kept boxes, in ``[0, 1]``.
        of_smaller: Divide the intersection by the smaller box instead, which also drops a box inside another.
    """
    # NumPy, because PyTorch's overhead would dominate these tiny operations.
    corners, areas = boxes.numpy(), area(boxes).numpy()
    left = scores.argsort(descending=True, stable=True).numpy()
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(int(best))
        near = np.maximum(corners[best, :2], corners[left, :2])
        far = np.minimum(corners[best, 2:], corners[left, 2:])
        sides = np.maximum(far - near, 0)
        common = sides[:, 0] * sides[:, 1]
        whole = np.minimum(areas[best], areas[left]) if of_smaller else areas[best] + areas[left] - common
        left = left[common <= overlap * whole]
    return torch.tensor(kept, dtype=torch.long)


def summed_area_table(image: Tensor) -> Tensor:
    """Return the sum of ``image`` ``(3, H, W)`` above and left of each corner, ``(3, H + 1, W + 1)`` float64.

    Between corners the sum is exactly bilinear, because a pixel is constant (Crow 1984).
    """
    table = torch.zeros(image.shape[0], image.shape[1] + 1, image.shape[2] + 1, dtype=torch.float64)
    # Single precision would lose small differences of large sums.
    table[:, 1:, 1:] = image.to("cpu", torch.float64).cumsum(1).cumsum(2)
    return table


def resample(table: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Crop boxes to squares of ``size`` pixels: the exact mean over each pixel, black outside the image.

    If a box is enlarged, each pixel is the mean over the area of one pixel of the image: bilinear interpolation.

    Args:
        table: :func:`summed_area_table` of the image.
        boxes: ``(n, 4)``.
        size: Side of the result in pixels.

    Returns:
        ``(n, 3, size, size)`` float32.
    """
    parts = [_resample(table, part, size) for part in torch.split(boxes.to(table), _CHUNK)]
    return torch.cat(parts).float()


def _resample(table: Tensor, boxes: Tensor, size: int) -> Tensor:
    channels, rows, columns = table.shape
    x, width = _edges(boxes[:, 0], boxes[:, 2], size)
    y, height = _edges(boxes[:, 1], boxes[:, 3], size)
    # One grid with all boxes side by side.
    across = (2 * x / (columns - 1) - 1).repeat_interleave(2 * size, 0)
    down = (2 * y / (rows - 1) - 1).view(-1, 1).expand(-1, 2 * size)
    grid = torch.stack([across, down], -1)[None]
    sums = nn.functional.grid_sample(table[None], grid, mode="bilinear", padding_mode="border", align_corners=True)
    sums = sums.view(channels, len(boxes), 2, size, 2, size)
    total = sums[:, :, 1, :, 1] - sums[:, :, 0, :, 1] - sums[:, :, 1, :, 0] + sums[:, :, 0, :, 0]
    return (total / (height * width)[:, None, None]).transpose(0, 1)


def _edges(low: Tensor, high: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the starts of ``size`` pixels followed by their ends, ``(n, 2 · size)``, and their width ``(n,)``."""
    step = (high - low) / size
    centres = low[:, None] + step[:, None] * (torch.arange(size).to(low) + 0.5)
    width = step.clamp(min=1)
    return torch.cat([centres - width[:, None] / 2, centres + width[:, None] / 2], 1), width
