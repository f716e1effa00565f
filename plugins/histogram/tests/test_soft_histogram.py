"""The soft histogram against equation (3), evaluated directly."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from faceinv_histogram.probe import hard_histogram
from faceinv_histogram.soft import reach, soft_counts, soft_histogram
from hypothesis import given, settings, strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from faceinv.errors import ShapeError, UsageError


def direct(images: Tensor, bins: int = 10, sigma: float = 1.85) -> Tensor:
    """Equation (3) as written: every pixel against every bin, in 0-255 and float64."""
    x = images.double().flatten(2).unsqueeze(2) * 255
    width = 255 / bins
    centres = width * (torch.arange(1, bins + 1, dtype=torch.float64) - 0.5).view(1, 1, -1, 1)
    terms = torch.sigmoid(sigma * (x - centres + width / 2)) - torch.sigmoid(sigma * (x - centres - width / 2))
    return terms.sum(3)


def random_images(seed: int, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * (high - low) + low


def value_and_gradient(function, images: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[no-untyped-def]
    images = images.clone().requires_grad_()
    value = function(images)
    (value * weights).sum().backward()
    assert images.grad is not None
    return value.detach(), images.grad


def assert_parity(images: Tensor, bins: int, sigma: float, tolerance: float, block: int = 1 << 18) -> None:
    weights = random_images(99, len(images), 3, bins, low=-1)
    got, slope = value_and_gradient(lambda x: soft_counts(x, bins, sigma, block), images, weights)
    expected, slope_expected = value_and_gradient(lambda x: direct(x, bins, sigma), images.double(), weights)
    pixels = images[0, 0].numel()
    torch.testing.assert_close(got.double(), expected, rtol=tolerance, atol=tolerance * pixels)
    # The slope of a sigmoid is at most sigma / 4 per level.
    torch.testing.assert_close(slope.double(), slope_expected, rtol=tolerance, atol=tolerance * 255 * max(1, sigma / 4))


def test_parity_at_the_papers_setting() -> None:
    images = random_images(0, 2, 3, 224, 224)
    weights = random_images(1, 2, 3, 10, low=-1)
    got, slope = value_and_gradient(soft_counts, images, weights)
    expected, slope_expected = value_and_gradient(direct, images.double(), weights)
    assert ((got - expected).abs() / expected).max() < 1e-5
    assert (slope - slope_expected).abs().max() < 1e-5 * slope_expected.abs().max()


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**20),
    bins=st.integers(1, 40),
    # From an overlap in which every edge matters to almost none.
    sigma=st.floats(0.002, 50),
    spread=st.floats(0.0, 0.5),
    shape=st.tuples(st.integers(1, 3), st.just(3), st.integers(1, 9), st.integers(1, 9)),
)
def test_parity_for_any_overlap_and_values_out_of_range(
    seed: int, bins: int, sigma: float, spread: float, shape: tuple[int, ...]
) -> None:
    images = random_images(seed, *shape, low=-spread, high=1 + spread).double()
    assert_parity(images, bins, sigma, tolerance=1e-6)


@pytest.mark.parametrize("level", [0.507, 0.51, 0.52])
def test_a_large_even_area_keeps_its_last_digits(level: float) -> None:
    images = torch.full((1, 3, 640, 500), level)
    got, expected = soft_counts(images).double(), direct(images)
    # Sums of 320,000 equal numbers, which float32 would round the same way every time.
    assert (got - expected).abs().max() < 4e-7 * 640 * 500


@pytest.mark.parametrize("sigma", [0.05, 1.85])
def test_blocks_do_not_show(sigma: float) -> None:
    images = random_images(3, 3, 3, 11, 7).double()
    whole = soft_counts(images, 10, sigma)
    for block in (1, 50, 77, 200):  # within a row, a row's length, several rows
        torch.testing.assert_close(soft_counts(images, 10, sigma, block), whole, rtol=0, atol=1e-6 * 77)
        assert_parity(images, 10, sigma, tolerance=1e-6, block=block)


@pytest.mark.parametrize(("bins", "sigma"), [(10, 1.85), (10, 0.2), (4, 0.01), (1, 1.85)])
def test_gradient_is_that_of_the_function(bins: int, sigma: float) -> None:
    # Within a few levels of the edges, where the slope is not zero.
    edges = torch.arange(bins + 1).repeat(4)[: 3 * (bins + 1)].double() / bins
    images = (edges + random_images(5, len(edges), low=-2 / 255, high=2 / 255)).view(1, 3, 1, -1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: soft_counts(x, bins, sigma), images, eps=1e-7, atol=1e-4, rtol=1e-4)
    assert torch.autograd.gradcheck(lambda x: soft_histogram(x, bins, sigma), images, eps=1e-7, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sigma", [1.85, 0.2])
def test_backward_can_run_twice_over_a_graph(sigma: float) -> None:
    images = random_images(8, 2, 3, 5, 5).requires_grad_()
    counts = soft_counts(images, 10, sigma)
    weights = random_images(9, 2, 3, 10, low=-1)
    first, second = (torch.autograd.grad(counts, images, w, retain_graph=True)[0] for w in (weights, 2 * weights))
    torch.testing.assert_close(second, 2 * first)
    assert first.abs().sum() > 0


def test_outermost_edges_are_soft_as_in_the_equation() -> None:
    black = torch.zeros(1, 3, 4, 5)
    counts = soft_counts(black)
    torch.testing.assert_close(counts[0, :, 0], torch.full((3,), 10.0))
    torch.testing.assert_close(soft_histogram(black)[0, 0], torch.eye(10)[0])


def test_pixels_far_out_of_range_count_nothing() -> None:
    for value in (-3.0, 4.0, math.inf, -math.inf):
        outside = torch.full((1, 3, 4, 4), value)
        assert soft_counts(outside).abs().max() < 1e-6
        assert torch.equal(soft_histogram(outside), torch.zeros(1, 3, 10))


def test_nan_shows_instead_of_crashing() -> None:
    images = random_images(4, 2, 3, 4, 4)
    images[1, 2, 0, 0] = math.nan
    histogram = soft_histogram(images)
    assert histogram[1, 2].isnan().any()
    assert not histogram[0].isnan().any()


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**20), bins=st.integers(1, 30), sigma=st.floats(0.05, 20))
def test_a_histogram_is_a_distribution(seed: int, bins: int, sigma: float) -> None:
    histogram = soft_histogram(random_images(seed, 2, 3, 6, 6), bins, sigma)
    assert histogram.shape == (2, 3, bins)
    assert histogram.min() > -1e-6
    torch.testing.assert_close(histogram.sum(2), torch.ones(2, 3))


def test_steep_sigmoids_give_the_hard_histogram() -> None:
    # Levels of an 8-bit image, away from the edges at 25.5 k, every second of which is a level.
    levels = torch.randint(0, 255, (2, 3, 16, 16), generator=torch.Generator().manual_seed(2))
    levels += (levels % 51 == 0).long()
    images = levels / 255
    torch.testing.assert_close(soft_histogram(images, sigma=200.0), hard_histogram(images))


def test_colours_and_images_are_kept_apart() -> None:
    images = torch.tensor([[0.15, 0.35, 0.95], [0.55, 0.05, 0.75]]).view(2, 3, 1, 1).expand(2, 3, 4, 4)
    assert soft_histogram(images).argmax(2).tolist() == [[1, 3, 9], [5, 0, 7]]


def test_cost_does_not_grow_with_the_bins() -> None:
    assert [reach(1.85 * 255 / bins, bins) for bins in (1, 5, 10)] == [0, 0, 0]
    # The window spans the same number of levels whatever the bins, and at most all edges.
    assert reach(1.85 * 255 / 100, 100) < 6
    assert reach(1e-6, 10) == 10


def test_dtypes() -> None:
    images = random_images(6, 1, 3, 8, 8)
    assert soft_histogram(images.double()).dtype == torch.float64
    half = images.bfloat16().requires_grad_()
    histogram = soft_histogram(half)
    assert histogram.dtype == torch.float32
    torch.testing.assert_close(histogram, soft_histogram(half.detach().float()))
    histogram[0, 0, 2].backward()
    assert half.grad is not None
    assert half.grad.dtype == torch.bfloat16


class Largest(TorchDispatchMode):
    """Records the number of elements of the largest tensor made by any operation."""

    elements = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, (tuple, list)) else (made,):
            if isinstance(tensor, Tensor):
                self.elements = max(self.elements, tensor.numel())
        return made


@pytest.mark.parametrize("sigma", [1.85, 0.2])
def test_nothing_made_is_larger_than_the_images(sigma: float) -> None:
    images = random_images(7, 4, 3, 32, 32).requires_grad_()
    with Largest() as largest:
        soft_counts(images, 50, sigma).sum().backward()
    assert largest.elements == images.numel()
    with Largest() as largest:
        direct(images, 50, sigma).sum().backward()
    assert largest.elements == 50 * images.numel(), "the instrument sees the cost of a direct evaluation"


@pytest.mark.parametrize(("bins", "sigma"), [(0, 1.85), (10, 0.0), (10, -1.0), (10, math.nan), (10, math.inf)])
def test_settings_out_of_range_are_refused(bins: int, sigma: float) -> None:
    with pytest.raises(UsageError, match="got"):
        soft_histogram(torch.zeros(1, 3, 2, 2), bins, sigma)


@pytest.mark.parametrize("images", [torch.zeros(3, 4, 4), torch.zeros(1, 3, 4, 4, dtype=torch.uint8)])
def test_images_of_another_kind_are_refused(images: Tensor) -> None:
    with pytest.raises(ShapeError):
        soft_histogram(images)
