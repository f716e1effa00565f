"""Where skin, background and the lit face are in a frame whose five points are known: soft masks, fixed.

The masks depend on the framing alone. What is averaged under a fixed mask is linear in the image, which makes a
loss that no network's opinion can spoil; the price is that a face that is turned far leaves its mask a little.
Lengths are in units of the distance of the eyes, along the frame's own up and across.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.errors import UsageError
from faceinv.framing import pixel_points


def face_coordinates(framing: Framing) -> Tensor:
    """Return for each pixel ``(H, W, 2)`` how far it is from the point between the eyes.

    In eye distances, across (to the image's right) and down (from the eyes to the mouth).
    """
    points = pixel_points(framing)
    left, right = points[0], points[1]
    middle, mouth = (left + right) / 2, (points[3] + points[4]) / 2
    across = right - left
    unit = float(np.linalg.norm(across))
    across = across / unit
    down = np.array([-across[1], across[0]])
    if (mouth - middle) @ down < 0:
        down = -down
    height, width = framing.size
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    offset = np.stack([x, y], -1) - middle
    return torch.from_numpy(np.stack([offset @ across, offset @ down], -1) / unit).float()


def skin_mask(framing: Framing) -> Tensor:
    """Return weights ``(H, W)`` that sum to 1: both cheeks and the root of the nose, without eyes, brows and lips."""
    x, y = face_coordinates(framing).unbind(-1)
    cheeks = _spot(x.abs() - 0.55, y - 0.6, 0.16, 0.2)
    nose = _spot(x, y - 0.35, 0.12, 0.22)
    return _normalised(cheeks + nose, framing, "skin")


def background_mask(framing: Framing) -> Tensor:
    """Return weights ``(H, W)`` that sum to 1: what lies beside and above a head with its hair, above its chin.

    Raises:
        UsageError: the frame ends before the background begins.
    """
    x, y = face_coordinates(framing).unbind(-1)
    # A head is about two and a half eye distances wide and four high; hair adds to both.
    outside = torch.sigmoid(20 * ((x / 1.55).square() + ((y - 0.15) / 2.25).square()).sqrt() - 20)
    above_the_chin = torch.sigmoid(10 * (1.2 - y))
    return _normalised(outside * above_the_chin, framing, "background")


def shading_weights(framing: Framing) -> Tensor:
    """Return ``(3, H, W)``: what a luminance is multiplied with to give its shading across, down, and its mean.

    The face is taken for the front of an ellipsoid that reflects light as matt surfaces do: luminance is
    ``a n_x + b n_y + c`` with the normal n, and the weights are the three rows of that weighted regression.
    """
    x, y = face_coordinates(framing).unbind(-1)
    across, down = x / 1.2, (y - 0.5) / 1.65
    inside = torch.sigmoid(30 * (0.9 - (across.square() + down.square()).sqrt()))
    # Eyes, brows and mouth are dark in any light.
    paint = _spot(x.abs() - 0.5, y + 0.08, 0.24, 0.16) + _spot(x, y - 1.12, 0.36, 0.14)
    weight = (inside * (1 - paint).clamp_min(0)).flatten()
    basis = torch.stack([across.flatten(), down.flatten(), torch.ones_like(weight)], 1).double()
    weighted = basis * weight[:, None]
    solution = torch.linalg.solve(weighted.T @ basis, weighted.T)
    weights: Tensor = solution.float().view(3, *framing.size)
    return weights


def _spot(x: Tensor, y: Tensor, width: float, height: float) -> Tensor:
    return torch.exp(-((x / width).square() + (y / height).square()) / 2)


def _normalised(mask: Tensor, framing: Framing, what: str) -> Tensor:
    if float((mask > 0.5).float().mean()) < 0.01:
        raise UsageError(f"The framing '{framing.name}' shows no {what}: the frame is too narrow about the face.")
    return mask / mask.sum()
