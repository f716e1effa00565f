"""Pixel by pixel: MSE and PSNR."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison

#: A PSNR above this says no more than that the images are the same.
HIGHEST_PSNR = 100.0


class MeanSquaredError:
    """Mean over pixels and channels of the squared difference.

    The paper gives no scale for its MSE. The PSNR it prints beside it, 12.98 to 13.35 dB, implies 0.050 to 0.046
    on [0, 1], hence 0.201 to 0.185 on [−1, 1]; ten times that is nearest to the 2.05 to 2.03 that it prints.

    Args:
        scale: 1 for pixels in [0, 1]; 40 for the paper's, ten times the error in [−1, 1].
    """

    def __init__(self, scale: float = 1.0, **_: object) -> None:
        self.scale = scale

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the error of each pair, ``(B,)``, in 0 to ``scale``."""
        return self.scale * mean_squared_error(comparison.reconstruction, comparison.target)


class PeakSignalToNoise:
    """``−10 log₁₀ MSE`` of each image, at most 100 dB, which equal images get."""

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the ratio of each pair, ``(B,)``, in dB."""
        error = mean_squared_error(comparison.reconstruction, comparison.target)
        return -10 * error.clamp_min(10 ** (-HIGHEST_PSNR / 10)).log10()


def mean_squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of images ``(B, 3, H, W)``, ``(B,)``."""
    return (a - b).square().mean((1, 2, 3))
