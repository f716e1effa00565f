"""SSIM (Wang, Bovik, Sheikh, Simoncelli 2004), computed by kornia."""

from __future__ import annotations

from kornia.metrics import ssim
from torch import Tensor

from faceinv.contracts import Comparison, check_images
from faceinv.errors import ShapeError

#: Side of the paper's Gaussian window (σ = 1.5), in pixels.
_SIDE = 11


class StructuralSimilarity:
    """SSIM, the mean over all channels and all positions at which the window lies within the image."""

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the similarity of each pair, ``(B,)``."""
        return structural_similarity(comparison.reconstruction, comparison.target)


def structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Return the SSIM of images ``(B, 3, H, W)`` in ``[0, 1]``, ``(B,)``; equation (13) of Wang et al. 2004.

    Raises:
        ShapeError: if the images differ in shape or are smaller than the window.
    """
    check_images(a)
    check_images(b, (a.shape[2], a.shape[3]))
    if min(a.shape[2:]) < _SIDE:
        raise ShapeError(f"SSIM needs images of at least {_SIDE}x{_SIDE} pixels, got {a.shape[2]}x{a.shape[3]}.")
    # Without the epsilon that kornia adds to the denominator: the paper's constants keep it positive.
    similarity: Tensor = ssim(a, b, _SIDE, eps=0.0, padding="valid").mean((1, 2, 3))
    return similarity
