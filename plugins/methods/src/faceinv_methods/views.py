"""An image seen a little otherwise: what holds for a face holds for its views, what fools an encoder hardly does."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def view(images: Tensor, how: Tensor, shift: float, zoom: float) -> Tensor:
    """Return images ``(B, 3, H, W)`` shifted, zoomed and perhaps mirrored, differentiable.

    Args:
        images: The images.
        how: ``(B, 3)`` or ``(B, 4)`` in [−1, 1]: shift to the right and down, and zoom, as shares of the most; where
            there is a fourth number and it is negative, the image is mirrored.
        shift: How far a view is shifted at most, as a share of the frame.
        zoom: How much a view is zoomed in or out at most.
    """
    scale = 1 + zoom * how[:, 2]
    across = torch.where(how[:, 3] < 0, -scale, scale) if how.shape[1] > 3 else scale
    none = torch.zeros_like(scale)
    # Frame coordinates go from −1 to 1: a share of the frame is twice that.
    right, down = 2 * shift * how[:, 0], 2 * shift * how[:, 1]
    theta = torch.stack([across, none, right, none, scale, down], 1).view(-1, 2, 3)
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)
