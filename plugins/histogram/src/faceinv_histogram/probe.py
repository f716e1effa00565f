"""The attribute "histogram": measured on the image, read from the descriptor by an MLP."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.contracts import Framing, Probe, Recipe, check_images
from faceinv_histogram.soft import soft_histogram

#: Bins per channel (the paper's N, section 3.2).
BINS = 10


class HistogramProbe(Probe):
    """Histograms of red, green and blue with ten bins each, as shares of the pixels.

    Args:
        framing: Where the face sits in the images; a histogram does not depend on it.
    """

    shape = (3, BINS)

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing

    def label(self, images: Tensor) -> Tensor:
        """Return the hard histograms ``(B, 3, 10)`` of ``images`` ``(B, 3, H, W)``."""
        return hard_histogram(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the soft histograms ``(B, 3, 10)``, differentiable in ``images`` ``(B, 3, H, W)``."""
        return soft_histogram(images, BINS)

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the Earth Mover's distance in bins, summed over the channels, ``(B,)``."""
        return earth_movers_distance(predicted, truth)

    def reading_loss(self, raw: Tensor, truth: Tensor) -> Tensor:
        """Return the Earth Mover's distance ``(B,)``, which is minimal at the median of the cumulative histograms."""
        return earth_movers_distance(raw, truth)

    def coordinates(self, attribute: Tensor) -> Tensor:
        """Return the cumulative histograms ``(B, 27)``, whose L1 distance is the Earth Mover's distance.

        The gradient at a pixel near a bin's edge then depends on the total error on each side of it, not only on the
        two bins next to it.
        """
        return attribute.cumsum(2)[..., :-1].flatten(1)

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's MLP (section 3.2): two layers of 8 units with ReLU, a softmax per channel."""
        return nn.Sequential(
            nn.Linear(dim, 8),
            nn.ReLU(),
            nn.Linear(8, 8),
            nn.ReLU(),
            nn.Linear(8, 3 * BINS),
            nn.Unflatten(1, self.shape),
            nn.Softmax(dim=2),
            nn.Flatten(1),
        )

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe (section 3.2): Adam on the squared error, rate 1e-6, batch 32, 20 epochs."""
        return Recipe(optimizer="adam", learning_rate=1e-6, batch_size=32, epochs=20, objective="mse")

    def constrain(self, raw: Tensor) -> Tensor:
        """Return the histograms ``(B, 3, 10)`` closest to a head's output ``(B, 30)``.

        No valid histogram is farther from the result than from ``raw``; a valid ``raw`` is returned unchanged.
        """
        return nearest_histogram(raw.reshape(len(raw), *self.shape))

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute`` unchanged: the mirror image has the same pixels."""
        return attribute


def hard_histogram(images: Tensor, bins: int = BINS) -> Tensor:
    """Return the share of the pixels in each bin, ``(B, 3, bins)``, of images rounded to 8 bits.

    Bin k holds the levels from 255 k / bins (included) to 255 (k + 1) / bins (excluded); the last one also holds
    255. Values outside ``[0, 1]`` are clipped, as when writing the image.

    Args:
        images: ``(B, 3, H, W)`` in ``[0, 1]``.
        bins: Number of bins.

    Raises:
        ShapeError: if the images have another shape or type.
    """
    check_images(images)
    levels = images.detach().clamp(0, 1).mul(255).round_().nan_to_num_(nan=0.0).long().flatten(2)
    # In integers: 51 lies exactly on an edge, and rounding must not move it.
    index = (levels * bins).div_(255, rounding_mode="floor").clamp_(max=bins - 1)
    counts = images.new_zeros(*images.shape[:2], bins, dtype=torch.promote_types(images.dtype, torch.float32))
    return counts.scatter_add_(2, index, torch.ones_like(index, dtype=counts.dtype)) / index.shape[2]


def earth_movers_distance(a: Tensor, b: Tensor) -> Tensor:
    """Return the Earth Mover's distance of histograms ``(B, C, N)``, summed over their channels, ``(B,)``.

    In bins: the mass times the number of bins to move it by. For one-dimensional histograms of equal mass it is the
    L1 distance of their cumulative sums (Rubner, Tomasi, Guibas 2000). Between 0 and ``C * (N - 1)``.
    """
    return (a - b).cumsum(2).abs().sum((1, 2))


def nearest_histogram(raw: Tensor) -> Tensor:
    """Return the histogram closest to ``raw`` ``(..., N)``: its Euclidean projection onto the simplex.

    The result is non-negative and sums to 1; differentiable almost everywhere (Duchi et al. 2008, figure 1: subtract
    the threshold that leaves a mass of 1 above it).
    """
    ordered = raw.sort(-1, descending=True).values
    excess = ordered.cumsum(-1) - 1
    count = torch.arange(1, raw.shape[-1] + 1, device=raw.device, dtype=raw.dtype)
    kept = (ordered * count > excess).sum(-1, keepdim=True).clamp_min(1)
    threshold = excess.gather(-1, kept - 1) / kept
    return (raw - threshold).clamp_min(0)
