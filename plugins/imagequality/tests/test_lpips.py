"""LPIPS against its equation, on files in the published format."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lpips
import numpy as np
import pytest
import torch
from faceinv_imagequality.perceptual import PerceptualDistance
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import ShapeError, WeightsError
from faceinv.plugins import Host
from faceinv.weights import WeightStore, read_tensors

#: Channels of the five feature maps, and side and input channels of the convolutions that make them.
CHANNELS = (64, 192, 384, 256, 256)
KERNELS = ((11, 3), (5, 64), (3, 192), (3, 384), (3, 256))


def random_tree() -> dict[str, Any]:
    """Random numbers in the published layout."""
    rng = np.random.default_rng(0)
    tree: dict[str, Any] = {"AlexNet_0": {}}
    for index, ((side, inputs), outputs) in enumerate(zip(KERNELS, CHANNELS, strict=True)):
        kernel = rng.normal(0, (side * side * inputs) ** -0.5, (side, side, inputs, outputs))
        tree["AlexNet_0"][f"Conv_{index}"] = {
            "kernel": kernel.astype(np.float32),
            "bias": rng.normal(0, 0.1, outputs).astype(np.float32),
        }
        tree[f"NetLinLayer_{index}"] = {"Conv_0": {"kernel": rng.random((1, 1, outputs, 1), np.float32)}}
    return tree


def published_heads() -> list[Tensor]:
    """The heads that come with the package."""
    path = Path(lpips.__file__).parent / "weights/v0.1/alex.pth"
    return list(torch.load(path, map_location="cpu", weights_only=True).values())


def saved(path: Path, tree: object) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol=3))
    return path


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> PerceptualDistance:
    path = tmp_path_factory.mktemp("lpips") / "alexnet.ckpt"
    return PerceptualDistance(saved(path, random_tree())).eval().requires_grad_(False)


def images(seed: int, n: int = 3, height: int = 64, width: int = 48) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def written_out(a: Tensor, b: Tensor, heads: list[Tensor]) -> Tensor:
    """Equation (1) of the paper, in float64, with the convolutions of ``random_tree``."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in ((-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)))
    maps = [(2 * image.double() - 1 - mean) / std for image in (a, b)]
    tree, total = random_tree()["AlexNet_0"], torch.zeros(len(a), dtype=torch.float64)
    for index, head in enumerate(heads):
        weight = torch.from_numpy(tree[f"Conv_{index}"]["kernel"]).double().permute(3, 2, 0, 1)
        bias = torch.from_numpy(tree[f"Conv_{index}"]["bias"]).double()
        if index in (1, 2):
            maps = [F.max_pool2d(each, 3, 2) for each in maps]
        stride, padding = ((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))[index]
        maps = [F.conv2d(each, weight, bias, stride, padding).relu() for each in maps]
        unit_a, unit_b = (each / (each.norm(dim=1, keepdim=True) + 1e-10) for each in maps)
        total += ((unit_a - unit_b).square().mean((2, 3)) * head.double().flatten()).sum(1)
    return total


@pytest.mark.parametrize("size", [(64, 48), (31, 31), (112, 100)])
def test_the_distance_is_equation_1(metric: PerceptualDistance, size: tuple[int, int]) -> None:
    a, b = images(1, 3, *size), images(2, 3, *size)
    expected = written_out(a, b, published_heads())
    got = metric(SimpleNamespace(target=a, reconstruction=b))
    assert expected.min() > 0.01
    torch.testing.assert_close(got.double(), expected, rtol=1e-4, atol=1e-5)


def test_building_it_is_quiet_needs_no_network_and_leaves_global_state_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    path = saved(tmp_path / "x.ckpt", random_tree())
    monkeypatch.setattr("socket.socket.connect", refuse)
    random_state, filters = torch.get_rng_state(), list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        metric = PerceptualDistance(path)
    assert not caught
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.get_rng_state(), random_state)
    assert warnings.filters == filters
    assert not any(tensor.is_meta for tensor in metric.state_dict().values())


def test_direction_and_bounds_are_as_declared(metric: PerceptualDistance) -> None:
    spec = Host().spec("metric", "lpips")
    a, noise = images(3), images(4)
    same = metric(SimpleNamespace(target=a, reconstruction=a))
    near = metric(SimpleNamespace(target=a, reconstruction=0.9 * a + 0.1 * noise))
    far = metric(SimpleNamespace(target=a, reconstruction=noise))
    assert torch.equal(same, torch.full((3,), spec.bounds[0]))
    assert (near > same).all()
    assert (far > near).all()
    assert not spec.higher_is_better


def test_black_and_equal_features_give_a_number(metric: PerceptualDistance) -> None:
    black = torch.zeros(1, 3, 64, 64)
    assert metric(SimpleNamespace(target=black, reconstruction=1 - black)).isfinite().all()


def test_a_pair_does_not_depend_on_its_batch(metric: PerceptualDistance) -> None:
    a, b = images(5), images(6)
    torch.testing.assert_close(metric.distance(a[1:2], b[1:2]), metric.distance(a, b)[1:2], rtol=1e-5, atol=1e-6)


def test_type_follows_the_module(tmp_path: Path) -> None:
    double = PerceptualDistance(saved(tmp_path / "x.ckpt", random_tree())).double()
    assert double.distance(images(7).double(), images(8).double()).dtype == torch.float64


def test_images_too_small_or_of_two_sizes_are_refused(metric: PerceptualDistance) -> None:
    with pytest.raises(ShapeError, match="at least 31x31 pixels, got 30x64"):
        metric.distance(images(1, 1, 30, 64), images(2, 1, 30, 64))
    with pytest.raises(ShapeError, match="must be 64x48"):
        metric.distance(images(1), images(2, 3, 48, 48))


def test_wrong_tensors_are_named_as_in_the_file(tmp_path: Path) -> None:
    tree = random_tree()
    del tree["AlexNet_0"]["Conv_3"]["bias"]
    tree["AlexNet_0"]["Conv_1"]["kernel"] = np.zeros((5, 5, 7, 192), np.float32)
    with pytest.raises(WeightsError) as caught:
        PerceptualDistance(saved(tmp_path / "x.ckpt", tree))
    assert "1 missing (AlexNet_0.Conv_3.bias)" in str(caught.value)
    assert "AlexNet_0.Conv_1.kernel (192, 7, 5, 5) instead of (192, 64, 5, 5)" in str(caught.value)


@pytest.mark.weights
def test_the_published_file_is_alexnet_with_the_packages_heads() -> None:
    path = WeightStore(Host()).path("lpips/alexnet")
    metric = PerceptualDistance(path).requires_grad_(False)
    # torchvision's AlexNet begins with these numbers, wherever it is printed.
    first = metric.network.net.slice1[0].weight[0, 0, 0, :3]
    torch.testing.assert_close(first, torch.tensor([0.11864, 0.094069, 0.095435]), rtol=0, atol=1e-5)
    a = images(1)
    assert 0.1 < metric.distance(a, images(2)).mean() < metric.distance(a, a.flip(2) * 0.1).mean() < 2
    tensors = read_tensors(path)
    for index, head in enumerate(published_heads()):
        assert torch.equal(tensors[f"NetLinLayer_{index}.Conv_0.kernel"].flatten(), head.flatten())
