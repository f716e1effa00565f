"""Fixed soft masks of skin, background and the face's shading in a framing.

The masks depend only on the framing. A mean under a fixed mask is linear in the image and gives a loss that depends on
no network; the price is that a face turned far to the side leaves its mask a little. Lengths are in eye distances,
along the face's own axes.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.errors import UsageError
from faceinv.framing import pixel_points


def face_coordinates(framing: Framing) -> Tensor:
    """Return each pixel's offset ``(H, W, 2)`` from the point between the eyes.

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
    """Return weights ``(H, W)`` with sum 1 on both cheeks and the bridge of the nose, sparing eyes, brows and lips."""
    x, y = face_coordinates(framing).unbind(-1)
    cheeks = _spot(x.abs() - 0.55, y - 0.6, 0.16, 0.2)
    nose = _spot(x, y - 0.35, 0.12, 0.22)
    return _normalised(cheeks + nose, framing, "skin")


def background_mask(framing: Framing) -> Tensor:
    """Return weights ``(H, W)`` with sum 1 around a head with its hair, above the height of the chin.

    Raises:
        UsageError: the framing is too narrow to show background.
    """
    x, y = face_coordinates(framing).unbind(-1)
    # A head is about two and a half eye distances wide and four high; hair adds to both.
    outside = torch.sigmoid(20 * ((x / 1.55).square() + ((y - 0.15) / 2.25).square()).sqrt() - 20)
    above_the_chin = torch.sigmoid(10 * (1.2 - y))
    return _normalised(outside * above_the_chin, framing, "background")


def shading_weights(framing: Framing) -> Tensor:
    """Return weights ``(3, H, W)`` that map a luminance to its shading across, its shading down, and its mean.

    The face is modelled as the front of a Lambertian ellipsoid: luminance is ``a n_x + b n_y + c`` for the normal n,
    and the weights are the three rows of that weighted regression's solution.
    """
    x, y = face_coordinates(framing).unbind(-1)
    across, down = x / 1.2, (y - 0.5) / 1.65
    inside = torch.sigmoid(30 * (0.9 - (across.square() + down.square()).sqrt()))
    # Eyes, brows and mouth are dark under any light.
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
        raise UsageError(f"The framing '{framing.name}' shows no {what}: its frame is too narrow around the face.")
    return mask / mask.sum()
