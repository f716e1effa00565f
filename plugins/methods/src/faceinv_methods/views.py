"""Slightly different views of an image: a face stays the same in them, an adversarial pattern hardly does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def view(images: Tensor, how: Tensor, shift: float, zoom: float) -> Tensor:
    """Return images ``(B, 3, H, W)`` shifted, zoomed and optionally mirrored; differentiable.

    Args:
        images: The images.
        how: ``(B, 3)`` or ``(B, 4)`` in [−1, 1]: shift to the right, shift down and zoom, as shares of the largest; an
            image is mirrored if its fourth number is negative.
        shift: Largest shift, as a share of the frame.
        zoom: Largest change of scale, as a share.
    """
    scale = 1 + zoom * how[:, 2]
    across = torch.where(how[:, 3] < 0, -scale, scale) if how.shape[1] > 3 else scale
    none = torch.zeros_like(scale)
    # Frame coordinates go from −1 to 1, so the frame has a width of 2.
    right, down = 2 * shift * how[:, 0], 2 * shift * how[:, 1]
    theta = torch.stack([across, none, right, none, scale, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
