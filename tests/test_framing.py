"""Similarities are exact; warps are exact, differentiable and free of aliasing."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from skimage.transform import SimilarityTransform, estimate_transform, warp

from faceinv.contracts import Framing
from faceinv.errors import ShapeError
from faceinv.framing import Warp, align, apply_similarity, framing_similarity, pixel_points, similarity, warp_between

FACE = ((0.35, 0.4), (0.65, 0.4), (0.5, 0.6), (0.38, 0.78), (0.62, 0.78))
SMALL = Framing("small", (32, 32), FACE)

similarities = st.builds(
    lambda scale, angle, x, y: np.array(
        [[scale * math.cos(angle), -scale * math.sin(angle), x], [scale * math.sin(angle), scale * math.cos(angle), y]]
    ),
    st.floats(0.01, 100),
    st.floats(-math.pi, math.pi),
    st.floats(-1000, 1000),
    st.floats(-1000, 1000),
)
faces = st.lists(st.tuples(st.floats(-100, 100), st.floats(-100, 100)), min_size=2, max_size=8, unique=True).filter(
    lambda points: np.ptp(np.array(points), axis=0).max() > 1
)


def waves(height: int, width: int, shift: tuple[float, float] = (0, 0), scale: float = 1) -> torch.Tensor:
    """Return an image ``(1, 3, height, width)`` of a smooth function, so that values between pixels are known."""
    y, x = np.meshgrid(
        (np.arange(height) + 0.5) / scale - shift[1], (np.arange(width) + 0.5) / scale - shift[0], indexing="ij"
    )
    channels = [0.5 + 0.4 * np.sin(x / a) * np.cos(y / b) for a, b in ((9, 13), (15, 8), (11, 11))]
    return torch.from_numpy(np.stack(channels)[None]).float()


# Similarities


@given(matrix=similarities, points=faces)
def test_a_similarity_is_recovered(matrix: np.ndarray, points: list[tuple[float, float]]) -> None:
    found = similarity(points, apply_similarity(matrix, points))
    np.testing.assert_allclose(apply_similarity(found, points), apply_similarity(matrix, points), atol=1e-6)
    np.testing.assert_allclose(found[:, :2], matrix[:, :2], rtol=1e-7, atol=1e-7)


@given(matrix=similarities, points=faces)
def test_there_and_back_again(matrix: np.ndarray, points: list[tuple[float, float]]) -> None:
    moved = apply_similarity(matrix, points)
    np.testing.assert_allclose(apply_similarity(similarity(moved, points), moved), points, atol=1e-6)


@given(first=similarities, second=similarities, points=faces)
def test_two_similarities_make_one(first: np.ndarray, second: np.ndarray, points: list[tuple[float, float]]) -> None:
    twice = apply_similarity(second, apply_similarity(first, points))
    once = apply_similarity(similarity(points, twice), points)
    np.testing.assert_allclose(once, twice, rtol=1e-9, atol=1e-5)


@given(data=st.data())
def test_the_fit_is_the_least_squares_one(data: st.DataObject) -> None:
    numbers = st.floats(-10, 10)
    source = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=5, max_size=5, unique=True)))
    target = np.array(data.draw(st.lists(st.tuples(numbers, numbers), min_size=5, max_size=5, unique=True)))
    if np.ptp(source, axis=0).max() < 1e-2:
        return
    found = similarity(source, target)
    error = ((apply_similarity(found, source) - target) ** 2).sum()
    # Written as a linear problem in (a, b, x, y), where the matrix is [[a, -b, x], [b, a, y]].
    one, zero = np.ones(5), np.zeros(5)
    system = np.concatenate(
        [np.stack([source[:, 0], -source[:, 1], one, zero], 1), np.stack([source[:, 1], source[:, 0], zero, one], 1)]
    )
    best, *_ = np.linalg.lstsq(system, target.T.reshape(-1), rcond=None)
    assert error == pytest.approx(((system @ best - target.T.reshape(-1)) ** 2).sum(), rel=1e-6, abs=1e-8)
    assert np.linalg.det(found[:, :2]) >= 0


def test_agrees_with_scikit_image() -> None:
    rng = np.random.default_rng(3)
    source, target = rng.random((5, 2)) * 100, rng.random((5, 2)) * 100 + pixel_points(SMALL) * 20
    theirs = estimate_transform("similarity", source, target).params[:2]
    np.testing.assert_allclose(similarity(source, target), theirs, atol=1e-9)


@pytest.mark.parametrize(
    ("source", "target"),
    [([(1, 1)] * 5, FACE), (FACE[:1], FACE[:1]), (FACE, FACE[:4]), ([(math.nan, 0)] * 5, FACE)],
)
def test_points_that_determine_nothing_are_refused(source: object, target: object) -> None:
    with pytest.raises(ValueError, match="points"):
        similarity(source, target)


# Warps


def test_the_same_framing_passes_through() -> None:
    images = waves(32, 32)
    assert warp_between(SMALL, Framing("other name", (32, 32), FACE))(images) is images


def test_a_face_lands_where_the_other_framing_has_it() -> None:
    tall = Framing("tall", (120, 90), tuple((0.1 + 0.8 * x, 0.5 * y) for x, y in FACE))
    moved = apply_similarity(framing_similarity(SMALL, tall), pixel_points(SMALL))
    dots = torch.zeros(1, 3, 32, 32)
    for x, y in pixel_points(SMALL):
        dots[..., int(y), int(x)] = 1
    image = warp_between(SMALL, tall)(dots)
    assert image.shape == (1, 3, 120, 90)
    for (x, y), (column, row) in zip(moved, pixel_points(SMALL), strict=True):
        # A dot's centre is up to half a source pixel from the point.
        centre = np.array([x, y]) + framing_similarity(SMALL, tall)[:, :2] @ (
            np.floor((column, row)) + 0.5 - (column, row)
        )
        at = (int(centre[1]), int(centre[0]))
        assert image[0, 0, at[0], at[1]] > 0.5


@pytest.mark.parametrize("scale", [2.0, 1.0, 0.6, 0.23, 0.11])
def test_a_smooth_picture_is_moved_exactly(scale: float) -> None:
    size = 40
    side = math.ceil(size / scale) + 40
    x, y = 7.3, 11.6
    matrix = np.array([[scale, 0, -x * scale], [0, scale, -y * scale]])
    source = waves(side, side, scale=1 / min(scale, 1))
    wanted = waves(size, size, (-x * min(scale, 1), -y * min(scale, 1)), scale / min(scale, 1))
    moved = Warp(matrix, (side, side), (size, size))(source)
    # The remaining difference is the slight blur of any resampling.
    assert (moved - wanted).abs().max() < 0.008


@pytest.mark.parametrize(("scale", "angle"), [(1.0, 0.0), (1.4, 0.3), (1.1, -2.5)])
def test_agrees_with_scikit_image_where_nothing_shrinks(scale: float, angle: float) -> None:
    rng = np.random.default_rng(5)
    image = torch.from_numpy(rng.random((1, 3, 40, 50))).float()
    turn = SimilarityTransform(scale=scale, rotation=angle, translation=(6.2, 3.7)).params
    # scikit-image has integer coordinates at pixel centres.
    centre = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    theirs = centre @ turn @ np.linalg.inv(centre)
    ours = theirs  # the same map in our coordinates
    pixels = warp(
        image[0].permute(1, 2, 0).double().numpy(), np.linalg.inv(turn), output_shape=(45, 35), order=1, mode="edge"
    )
    moved = Warp(ours[:2], (40, 50), (45, 35))(image)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(moved, pixels, atol=2e-5)


@pytest.mark.parametrize("shrink", [8, 7.3, 3, 2])
def test_a_fine_checkerboard_turns_grey(shrink: float) -> None:
    y, x = torch.meshgrid(torch.arange(256), torch.arange(256), indexing="ij")
    board = ((x + y) % 2).float().expand(1, 3, -1, -1)
    size = int(256 / shrink)
    small = Warp(np.array([[1 / shrink, 0, 0], [0, 1 / shrink, 0]]), (256, 256), (size, size))(board)
    inside = small[..., 1:-1, 1:-1]  # at the edge, the border is repeated
    assert (inside - 0.5).abs().max() < 0.03


def test_stripes_too_fine_for_the_target_vanish() -> None:
    x = (torch.arange(512) + 0.5) / 8  # in target pixels
    for period in (0.3, 0.55, 0.7):
        stripes = (0.5 + 0.5 * torch.sin(2 * math.pi * x / period)).expand(1, 3, 512, -1)
        small = Warp(np.array([[1 / 8, 0, 0], [0, 1 / 8, 0]]), (512, 512), (64, 64))(stripes)
        inside = small[..., 4:-4, 4:-4]
        assert (inside - 0.5).abs().max() < 0.03, f"stripes of {period} target pixels show"


@given(scale=st.floats(0.04, 3), x=st.floats(-300, 300), y=st.floats(-300, 300), angle=st.floats(-4, 4))
@settings(max_examples=25, deadline=None)
def test_stays_within_the_range_of_the_images(scale: float, x: float, y: float, angle: float) -> None:
    matrix = np.array(
        [[scale * math.cos(angle), -scale * math.sin(angle), x], [scale * math.sin(angle), scale * math.cos(angle), y]]
    )
    images = torch.rand(1, 3, 50, 61, generator=torch.Generator().manual_seed(0))
    moved = Warp(matrix, (50, 61), (20, 24))(images)
    assert images.min() - 1e-5 <= moved.min()
    assert moved.max() <= images.max() + 1e-5


@pytest.mark.parametrize("scale", [1.7, 0.45, 0.12])
def test_gradients_are_right(scale: float) -> None:
    matrix = np.array([[0.8 * scale, -0.6 * scale, 2.3], [0.6 * scale, 0.8 * scale, -1.2]])
    images = torch.rand(1, 3, 9, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(Warp(matrix, (9, 8), (5, 4)).double(), (images,), fast_mode=True)


def test_images_of_another_size_are_refused() -> None:
    with pytest.raises(ShapeError, match="32x32"):
        warp_between(SMALL, Framing("large", (64, 64), FACE))(torch.zeros(1, 3, 32, 31))


def test_half_precision_moves_no_pixel() -> None:
    large = Framing("large", (700, 700), FACE)
    images = waves(700, 700)
    exact = warp_between(large, SMALL)(images)
    for dtype, atol in ((torch.bfloat16, 1e-2), (torch.float16, 2e-3)):
        halved = warp_between(large, SMALL).to(dtype)
        torch.testing.assert_close(halved(images), exact, atol=atol, rtol=0)
        torch.testing.assert_close(halved(images.to(dtype)).float(), exact, atol=atol, rtol=0)


# Photographs


@given(
    scale=st.floats(0.3, 30), angle=st.floats(-0.6, 0.6), x=st.floats(-80, 300), y=st.floats(-80, 300)
)  # faces of ten pixels up to the size of the image, in its middle or beyond its edge
@settings(max_examples=25, deadline=None)
def test_aligning_is_warping_the_whole_photograph(scale: float, angle: float, x: float, y: float) -> None:
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) * scale
    points = pixel_points(SMALL) @ turn.T + (x, y)
    image = waves(211, 230, scale=2)[0]
    whole = Warp(similarity(points, pixel_points(SMALL)), (211, 230), (32, 32))(image[None])[0]
    aligned = align(image, points, SMALL)
    assert aligned.shape == (3, 32, 32)
    torch.testing.assert_close(aligned, whole, atol=1e-4, rtol=0)
