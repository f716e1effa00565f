"""MSE, PSNR and SSIM compared with scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from faceinv_imagequality.pixels import MeanSquaredError, PeakSignalToNoise
from faceinv_imagequality.structure import StructuralSimilarity, structural_similarity
from skimage.metrics import mean_squared_error, peak_signal_noise_ratio, structural_similarity as skimage_ssim
from torch import Tensor

from faceinv.errors import ShapeError
from faceinv.plugins import Host
from faceinv.plugins.registry import load_target
from faceinv.scoring.pairs import EncodedComparison


def pair(a: Tensor, b: Tensor) -> EncodedComparison:
    return EncodedComparison(a, b, {})


@pytest.fixture
def images() -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 9, 7, generator=rng), size=(64, 48), mode="bicubic")
    a = smooth.clamp(0, 1)
    return a, (a + 0.1 * torch.randn(a.shape, generator=rng)).clamp(0, 1)


def test_pixel_errors_are_scikit_images(images: tuple[Tensor, Tensor]) -> None:
    a, b = images
    mse, psnr = MeanSquaredError()(pair(a, b)), PeakSignalToNoise()(pair(a, b))
    for index in range(4):
        x, y = a[index].numpy(), b[index].numpy()
        assert float(mse[index]) == pytest.approx(mean_squared_error(x, y), rel=1e-5)
        assert float(psnr[index]) == pytest.approx(peak_signal_noise_ratio(x, y, data_range=1), rel=1e-5)


def test_ssim_is_scikit_images(images: tuple[Tensor, Tensor]) -> None:
    a, b = images
    ours = StructuralSimilarity()(pair(a, b))
    for index in range(4):
        theirs = skimage_ssim(
            a[index].double().numpy(), b[index].double().numpy(), data_range=1, channel_axis=0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
        )  # fmt: skip
        assert float(ours[index]) == pytest.approx(theirs, abs=1e-4)


@pytest.mark.parametrize("name", ["mse", "psnr", "ssim"])
def test_direction_and_bounds_are_as_declared(name: str, images: tuple[Tensor, Tensor]) -> None:
    spec = Host().spec("metric", name)
    metric = load_target(spec)(framing=None)
    a, b = images
    same, close, far = metric(pair(a, a)), metric(pair(a, (a + b) / 2)), metric(pair(a, 1 - b))
    best = spec.bounds[1] if spec.higher_is_better else spec.bounds[0]
    np.testing.assert_allclose(same.numpy(), best, atol=1e-4)
    sign = 1 if spec.higher_is_better else -1
    assert (sign * (close - far) > 0).all()
    low, high = spec.bounds
    assert ((far >= low) & (far <= high)).all()
    worst = metric(pair(torch.zeros_like(a), torch.ones_like(a)))
    assert ((worst >= low) & (worst <= high)).all()


def test_ssim_refuses_images_smaller_than_its_window() -> None:
    with pytest.raises(ShapeError, match="at least 11x11 pixels, got 8x8"):
        structural_similarity(torch.zeros(1, 3, 8, 8), torch.zeros(1, 3, 8, 8))
