"""LPIPS beside the package lpips, on files in the published format."""

from __future__ import annotations

import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from faceinv_imagequality.perceptual import CHANNELS, PerceptualDistance
from torch import Tensor

from faceinv.errors import ShapeError, WeightsError
from faceinv.plugins import Host
from faceinv.weights import WeightStore

KERNELS = ((11, 3), (5, 64), (3, 192), (3, 384), (3, 256))


def random_tree() -> dict[str, Any]:
    """Random numbers in the published layout; heads are not negative there, nor here."""
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


def saved(path: Path, tree: object) -> Path:
    path.write_bytes(pickle.dumps(tree, protocol=3))
    return path


@pytest.fixture(scope="module")
def metric(tmp_path_factory: pytest.TempPathFactory) -> PerceptualDistance:
    path = tmp_path_factory.mktemp("lpips") / "alexnet.ckpt"
    return PerceptualDistance(saved(path, random_tree())).eval().requires_grad_(False)


def images(seed: int, n: int = 3, height: int = 64, width: int = 48) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def package(tree: dict[str, Any]) -> torch.nn.Module:
    """The package's network with the numbers of ``tree``."""
    lpips = pytest.importorskip("lpips", reason="the package lpips is not installed")
    with torch.random.fork_rng(devices=[]):
        network = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
    convolutions = [layer for layer in network.net.modules() if isinstance(layer, torch.nn.Conv2d)]
    heads = [layer for layer in network.lins.modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for index, (convolution, head) in enumerate(zip(convolutions, heads, strict=True)):
            numbers = tree["AlexNet_0"][f"Conv_{index}"]
            convolution.weight.copy_(torch.from_numpy(numbers["kernel"].transpose(3, 2, 0, 1)))
            convolution.bias.copy_(torch.from_numpy(numbers["bias"]))
            head.weight.copy_(torch.from_numpy(tree[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].transpose(3, 2, 0, 1)))
    made: torch.nn.Module = network.eval()
    return made


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("size", [(64, 48), (31, 31), (112, 100)])
def test_the_distance_is_the_packages(metric: PerceptualDistance, size: tuple[int, int]) -> None:
    a, b = images(1, 3, *size), images(2, 3, *size)
    with torch.no_grad():
        expected = package(random_tree())(a, b, normalize=True).flatten()
    got = metric(SimpleNamespace(target=a, reconstruction=b))
    assert expected.min() > 0.01
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


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
    tree["NetLinLayer_1"]["Conv_0"]["kernel"] = np.zeros((1, 1, 7, 1), np.float32)
    with pytest.raises(WeightsError) as caught:
        PerceptualDistance(saved(tmp_path / "x.ckpt", tree))
    assert "1 missing (AlexNet_0.Conv_3.bias)" in str(caught.value)
    assert "NetLinLayer_1.Conv_0.kernel (1, 7) instead of (1, 192)" in str(caught.value)


@pytest.mark.weights
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")
def test_the_published_file_is_alexnet_with_the_packages_heads() -> None:
    path = WeightStore(Host()).path("lpips/alexnet")
    metric = PerceptualDistance(path).requires_grad_(False)
    # A filter of torchvision's AlexNet begins so, wherever it is printed.
    first = metric.features.conv1.weight[0, 0, 0, :3]
    torch.testing.assert_close(first, torch.tensor([0.11864, 0.094069, 0.095435]), rtol=0, atol=1e-5)
    a = images(1)
    assert 0.1 < metric.distance(a, images(2)).mean() < metric.distance(a, a.flip(2) * 0.1).mean() < 2
    lpips = pytest.importorskip("lpips", reason="the package lpips is not installed")
    heads = torch.load(Path(lpips.__file__).parent / "weights/v0.1/alex.pth", map_location="cpu", weights_only=True)
    for head, published in zip(metric.heads, heads.values(), strict=True):
        assert torch.equal(head.weight.flatten(), published.flatten())
