"""Boxes: suppression by its definition, resampling as area averages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from faceinv_mtcnn.boxes import area, resample, shifted, squared, summed_area_table, suppress
from hypothesis import given, settings, strategies as st
from torch.nn import functional as F

IMAGE = torch.rand(3, 30, 42, generator=torch.Generator().manual_seed(0))

coordinates = st.floats(-20, 60, width=32)
box_lists = st.lists(
    st.builds(lambda x, y, w, h: (x, y, x + w, y + h), coordinates, coordinates, st.floats(1, 40), st.floats(1, 40)),
    max_size=30,
)


def overlap(a: torch.Tensor, b: torch.Tensor, of_smaller: bool) -> float:
    x = min(float(a[2]), float(b[2])) - max(float(a[0]), float(b[0]))
    y = min(float(a[3]), float(b[3])) - max(float(a[1]), float(b[1]))
    common = max(x, 0) * max(y, 0)
    first, second = (float((box[2] - box[0]) * (box[3] - box[1])) for box in (a, b))
    return common / (min(first, second) if of_smaller else first + second - common)


@given(boxes=box_lists, threshold=st.sampled_from([0.3, 0.5, 0.7]), of_smaller=st.booleans(), data=st.data())
def test_exactly_the_boxes_that_overlap_a_better_one_are_suppressed(
    boxes: list[tuple[float, ...]], threshold: float, of_smaller: bool, data: st.DataObject
) -> None:
    tensor = torch.tensor(boxes).reshape(-1, 4)
    scores = torch.tensor(data.draw(st.permutations(range(len(boxes))))).float()
    kept = suppress(tensor, scores, threshold, of_smaller=of_smaller).tolist()
    assert [float(scores[k]) for k in kept] == sorted((float(scores[k]) for k in kept), reverse=True)
    for k in range(len(boxes)):
        better = [other for other in kept if scores[other] > scores[k]]
        overlaps = [overlap(tensor[k], tensor[other], of_smaller) for other in better]
        if k in kept:
            assert all(value <= threshold + 1e-5 for value in overlaps)
        else:
            assert any(value > threshold - 1e-5 for value in overlaps)


def test_a_box_inside_another_is_the_same_face() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [3, 3, 6, 6]])
    assert suppress(boxes, torch.tensor([0.8, 0.9]), 0.7).tolist() == [1, 0]
    assert suppress(boxes, torch.tensor([0.8, 0.9]), 0.7, of_smaller=True).tolist() == [1]


def test_squares_keep_the_centre_and_the_longer_side() -> None:
    assert squared(torch.tensor([[0.0, 10, 4, 20], [1, 1, 7, 3]])).tolist() == [[-3, 10, 7, 20], [1, -1, 7, 5]]


def test_offsets_are_fractions_of_the_sides() -> None:
    moved = shifted(torch.tensor([[10.0, 20, 30, 60]]), torch.tensor([[0.1, -0.1, 0.5, 0.25]]))
    assert moved.tolist() == [[12, 16, 40, 70]]
    assert area(torch.tensor([[5.0, 5, 3, 9], [0, 0, 2, 3]])).tolist() == [0, 6]


def test_shrinking_by_a_whole_number_is_the_mean_over_whole_pixels() -> None:
    crop = resample(summed_area_table(IMAGE), torch.tensor([[4.0, 3, 28, 27]]), 8)
    torch.testing.assert_close(crop, F.avg_pool2d(IMAGE[None, :, 3:27, 4:28], 3))


def test_enlarging_is_bilinear() -> None:
    crop = resample(summed_area_table(IMAGE), torch.tensor([[5.0, 5, 15, 15]]), 40)
    whole = F.interpolate(IMAGE[None], scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(crop, whole[..., 20:60, 20:60])


def test_beyond_the_image_is_black() -> None:
    crop = resample(summed_area_table(IMAGE), torch.tensor([[-12.0, -12, 12, 12], [100, 100, 124, 124]]), 8)
    torch.testing.assert_close(crop[0, :, 4:, 4:], F.avg_pool2d(IMAGE[None, :, :12, :12], 3)[0])
    assert crop[0, :, :4].abs().max() < 1e-6
    assert crop[1].abs().max() < 1e-6


@given(x=st.floats(-5, 20), y=st.floats(-5, 10), side=st.floats(12, 40))
@settings(max_examples=30, deadline=None)
def test_any_box_is_averaged_exactly(x: float, y: float, side: float) -> None:
    size = 6

    def weights(low: float, length: int) -> np.ndarray:
        """Share of each of ``length`` pixels in each of the result's pixels."""
        edges = low + side / size * np.arange(size + 1)
        pixel = np.arange(length)
        shared = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        return shared.clip(min=0) / (side / size)

    wanted = np.einsum("ih,chw,jw->cij", weights(y, 30), IMAGE.double().numpy(), weights(x, 42))
    crop = resample(summed_area_table(IMAGE), torch.tensor([[x, y, x + side, y + side]], dtype=torch.float64), size)
    np.testing.assert_allclose(crop[0].numpy(), wanted, atol=1e-5)


def test_a_crowd_is_resampled_as_each_of_it_alone() -> None:
    rng = torch.Generator().manual_seed(1)
    corners = torch.rand(600, 2, generator=rng) * 20
    boxes = torch.cat([corners, corners + 1 + torch.rand(600, 2, generator=rng) * 20], 1)
    table = summed_area_table(IMAGE)
    crops = resample(table, boxes, 6)
    for k in (0, 255, 256, 599):
        torch.testing.assert_close(crops[k], resample(table, boxes[k : k + 1], 6)[0])


def test_sums_keep_their_precision_in_a_large_image() -> None:
    image = torch.full((3, 1200, 1200), 0.7)
    image[:, 1190:1194, 1190:1194] = 0.1
    crop = resample(summed_area_table(image), torch.tensor([[1190.0, 1190, 1194, 1194]]), 4)
    assert crop.flatten().tolist() == pytest.approx([0.1] * 48, abs=1e-6)
