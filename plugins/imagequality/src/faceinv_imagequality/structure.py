"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.contracts import Comparison, check_images
from faceinv.errors import ShapeError

_SIGMA, _SIDE = 1.5, 11
_C1, _C2 = 0.01**2, 0.03**2


class StructuralSimilarity:
    """SSIM with the paper's Gaussian window (11 pixels, σ = 1.5), mean over channels and places.

    Places whose window would reach over the edge are left out.
    """

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the similarity of each pair, ``(B,)``."""
        return structural_similarity(comparison.reconstruction, comparison.target)


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the SSIM of images ``(B, 3, H, W)`` in ``[0, 1]``, ``(B,)``; equation (13) of Wang et al. 2004.

    Raises:
        ShapeError: the images differ in shape, or are smaller than the window.
    """
    check_images(a)
    check_images(b, (a.shape[2], a.shape[3]))
    if min(a.shape[2:]) < _SIDE:
        raise ShapeError(f"SSIM needs images of at least {_SIDE}x{_SIDE} pixels, got {a.shape[2]}x{a.shape[3]}.")
    x = torch.arange(_SIDE, dtype=a.dtype, device=a.device) - _SIDE // 2
    window = torch.exp(-(x**2) / (2 * _SIGMA**2))
    window = window / window.sum()
    # Five weighted means in one pass: a, b, a², b², ab.
    stacked = torch.cat([a, b, a * a, b * b, a * b], dim=1)
    row = window.view(1, 1, 1, -1).expand(stacked.shape[1], 1, 1, -1)
    means = nn.functional.conv2d(stacked, row, groups=stacked.shape[1])
    means = nn.functional.conv2d(means, row.transpose(2, 3), groups=stacked.shape[1])
    mean_a, mean_b, square_a, square_b, product = means.chunk(5, dim=1)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    similarity = ((2 * mean_a * mean_b + _C1) * (2 * covariance + _C2)) / (
        (mean_a**2 + mean_b**2 + _C1) * (variance_a + variance_b + _C2)
    )
    return similarity.mean((1, 2, 3))
