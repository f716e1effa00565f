"""Pixel errors: MSE and PSNR."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Comparison

#: Upper limit of the PSNR in dB; anything higher only means that the images are equal.
HIGHEST_PSNR = 100.0


class MeanSquaredError:
    """Squared difference, averaged over pixels and channels.

    The paper does not state the scale of its MSE. Its PSNR of 12.98 to 13.35 dB implies an MSE of 0.050 to 0.046 on
    [0, 1], or 0.201 to 0.185 on [−1, 1]; ten times the latter comes closest to the printed 2.05 to 2.03.

    Args:
        scale: 1 for pixels in [0, 1]; 40 for the paper's scale, ten times the error on [−1, 1].
    """

    def __init__(self, scale: float = 1.0, **_: object) -> None:
        self.scale = scale

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the error of each pair, ``(B,)``, from 0 to ``scale``."""
        return self.scale * mean_squared_error(comparison.reconstruction, comparison.target)


class PeakSignalToNoise:
    """``−10 log₁₀ MSE`` of each image, limited to 100 dB, the value of equal images."""

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the ratio of each pair, ``(B,)``, in dB."""
        error = mean_squared_error(comparison.reconstruction, comparison.target)
        return -10 * error.clamp_min(10 ** (-HIGHEST_PSNR / 10)).log10()


def mean_squared_error(a: Tensor, b: Tensor) -> Tensor:
    """Return the mean squared difference of images ``(B, 3, H, W)``, ``(B,)``."""
    return (a - b).square().mean((1, 2, 3))
