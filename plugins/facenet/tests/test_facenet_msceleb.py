"""FaceNet: the published weights compared with an evaluation of the graph that the file describes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import pytest
import torch
from faceinv_facenet.msceleb import FaceNet, msceleb, read_keras, standardise
from faceinv_facenet.plugin import faceinv_encoders
from torch import Tensor

from faceinv.errors import WeightsError
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

Array = npt.NDArray[np.float64]


def faces(count: int, seed: int = 0) -> Tensor:
    """Smooth random pictures over the whole range, with flat black and white parts."""
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(seed)) * 1.6 - 0.3
    fine = torch.nn.functional.interpolate(coarse, size=(160, 160), mode="bicubic", align_corners=False)
    return fine.clamp(0, 1)


@pytest.fixture(scope="session")
def file() -> Path:
    return WeightStore(Host()).path("facenet.msceleb/h5")


@pytest.fixture(scope="session")
def network(file: Path) -> FaceNet:
    return msceleb(file)


class KerasGraph:
    """Evaluates the graph of a Keras model file in NumPy and float64, straight from its description."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path) as file:
            self.layers = json.loads(file.attrs["model_config"])["config"]["layers"]
            self.weights = {
                layer: {name.split(":")[0]: np.asarray(data, np.float64) for name, data in group[layer].items()}
                for layer, group in file["model_weights"].items()
                if layer in group
            }

    def __call__(self, x: Array) -> Array:
        """Return the last layer's output for ``x`` ``(B, H, W, C)``."""
        values: dict[str, Array] = {}
        for layer in self.layers:
            name = layer["name"]
            inputs = [values[node[0]] for node in layer["inbound_nodes"][0]] if layer["inbound_nodes"] else [x]
            values[name] = getattr(self, layer["class_name"])(layer["config"], self.weights.get(name, {}), *inputs)
        return values[name]

    def InputLayer(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        return x

    def Conv2D(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        kernel = weights["kernel"]
        windows = self._windows(x, config["kernel_size"], config["strides"], config["padding"])
        y: Array = np.einsum("bhwcij,ijco->bhwo", windows, kernel, optimize=True)
        assert config["activation"] == "linear"
        assert config["use_bias"] == ("bias" in weights)
        return y + weights.get("bias", 0.0)

    def MaxPooling2D(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        result: Array = self._windows(x, config["pool_size"], config["strides"], config["padding"]).max((-1, -2))
        return result

    def BatchNormalization(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        assert config["scale"] == ("gamma" in weights)
        scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + config["epsilon"])
        result: Array = (x - weights["moving_mean"]) * scale + weights["beta"]
        return result

    def Activation(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        assert config["activation"] == "relu"
        return np.maximum(x, 0)

    def Concatenate(self, config: Any, weights: Any, *xs: Array) -> Array:  # noqa: N802
        return np.concatenate(xs, config["axis"])

    def Lambda(self, config: Any, weights: Any, x: Array, y: Array) -> Array:  # noqa: N802
        # The only function of the file: inputs[0] + inputs[1] * scale.
        result: Array = x + y * config["arguments"]["scale"]
        return result

    def GlobalAveragePooling2D(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        result: Array = x.mean((1, 2))
        return result

    def Dropout(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        return x

    def Dense(self, config: Any, weights: Any, x: Array) -> Array:  # noqa: N802
        assert not config["use_bias"]
        result: Array = x @ weights["kernel"]
        return result

    def _windows(self, x: Array, size: Any, strides: Any, padding: str) -> Array:
        """Return ``(B, H', W', C, *size)``; SAME pads after the map if the padding is odd."""
        if padding == "same":
            assert tuple(strides) == (1, 1)
            before = [(side - 1) // 2 for side in size]
            behind = [side - 1 - first for side, first in zip(size, before, strict=True)]
            x = np.pad(x, ((0, 0), (before[0], behind[0]), (before[1], behind[1]), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(x, size, (1, 2))
        return windows[:, :: strides[0], :: strides[1]]


@pytest.mark.weights
def test_equals_the_graph_in_the_file(file: Path, network: FaceNet) -> None:
    images = faces(2)
    pixels = np.asarray(images.permute(0, 2, 3, 1) * 255, np.float64)
    mean, deviation = pixels.mean((1, 2, 3), keepdims=True), pixels.std((1, 2, 3), keepdims=True)
    raw = torch.from_numpy(KerasGraph(file)((pixels - mean) / deviation))
    with torch.no_grad():
        trunk, unit, swapped = network.trunk(standardise(images)), network(images), network(images.flip(1))
    # Before normalisation to unit length, which would hide a wrong scale.
    assert (trunk - raw).abs().max() <= 1e-5 * raw.abs().max()
    torch.testing.assert_close(unit.double(), raw / raw.norm(dim=1, keepdim=True), atol=1e-6, rtol=1e-5)
    assert torch.cosine_similarity(swapped, unit).max() < 0.99


@pytest.mark.weights
def test_folded_equals_unfolded(file: Path, network: FaceNet) -> None:
    images = faces(2)
    unfolded = msceleb(file, fold=False)
    assert any(isinstance(module, torch.nn.BatchNorm2d) for module in unfolded.modules())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in network.modules())
    with torch.no_grad():
        expected = unfolded.trunk(standardise(images))
        assert (network.trunk(standardise(images)) - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.weights
def test_the_spec_describes_the_network() -> None:
    (spec,) = faceinv_encoders()
    encoder = Loader(Host(), WeightStore(Host())).encoder("facenet")
    assert encoder.spec == spec
    with torch.no_grad():
        together, alone = encoder(faces(2)), encoder(faces(2)[1:])
    assert together.shape == (2, spec.dim)
    assert spec.unit_length
    torch.testing.assert_close(together.norm(dim=1), torch.ones(2))
    torch.testing.assert_close(together[1:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.weights
def test_gradient_reaches_the_images_and_not_the_weights(network: FaceNet) -> None:
    images = faces(1).requires_grad_()
    direction = torch.randn(1, 128, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad((network(images) * direction).sum(), images)
    step = 2e-4 * gradient / gradient.abs().max()
    with torch.no_grad():
        ahead, behind = ((network(images + sign * step) * direction).sum() for sign in (1, -1))
    assert float((gradient * step).sum()) == pytest.approx(float(ahead - behind) / 2, rel=0.05)
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_standardised_images() -> None:
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * torch.tensor([1, 0.1, 0.01]).view(
        3, 1, 1, 1
    )
    made = standardise(images)
    torch.testing.assert_close(made.mean((1, 2, 3)), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(made.std((1, 2, 3), correction=0), torch.ones(3))


def test_blank_image_gives_zeros_and_a_finite_gradient() -> None:
    images = torch.full((1, 3, 8, 8), 0.25, requires_grad=True)
    made = standardise(images)
    assert made.abs().max() == 0
    made[0, 0, 0, 0].backward()
    assert torch.isfinite(images.grad).all()  # type: ignore[arg-type]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[tuple[Path, h5py.File]]:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["model_weights/Conv/Conv/kernel:0"] = np.ones((3, 3, 2, 4), np.float32)
        file["model_weights/Conv/Conv/bias:0"] = np.ones(4, np.float32)
        file.create_group("model_weights/Activation")
        yield path, file


def test_keras_weights_by_name(small: tuple[Path, h5py.File]) -> None:
    path, file = small
    file.close()
    read = read_keras(path)
    assert {name: tuple(tensor.shape) for name, tensor in read.items()} == {
        "Conv/kernel": (3, 3, 2, 4),
        "Conv/bias": (4,),
    }


def test_another_network_is_refused_by_the_files_own_names(small: tuple[Path, h5py.File]) -> None:
    path, file = small
    file.close()
    with pytest.raises(WeightsError, match=r"missing \(Conv2d_1a_3x3/kernel, .*unexpected \(Conv/bias, Conv/kernel\)"):
        msceleb(path)


def test_links_out_of_the_file_are_not_followed(small: tuple[Path, h5py.File], tmp_path: Path) -> None:
    path, file = small
    with h5py.File(tmp_path / "secret.h5", "w") as secret:
        secret["data"] = np.ones(3, np.float32)
    file["model_weights/Conv/Conv/gamma:0"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "data")
    file["model_weights/Loop"] = h5py.SoftLink("/model_weights")
    file.close()
    assert read_keras(path).keys() == {"Conv/kernel", "Conv/bias"}


def test_content_kept_in_another_file_is_refused(small: tuple[Path, h5py.File], tmp_path: Path) -> None:
    path, file = small
    (tmp_path / "secret.bin").write_bytes(bytes(400))
    file["model_weights/Conv/Conv"].create_dataset(
        "gamma:0", (100,), "float32", external=[(str(tmp_path / "secret.bin"), 0, 400)]
    )
    file.close()
    with pytest.raises(WeightsError, match="'Conv/gamma:0' is not a float32 array stored in the file"):
        read_keras(path)


def test_giant_array_takes_no_memory(small: tuple[Path, h5py.File]) -> None:
    path, file = small
    file["model_weights/Conv/Conv"].create_dataset("gamma:0", (1 << 40,), "float32", chunks=(1024,))
    file.close()
    with pytest.raises(WeightsError, match="gamma:0"):
        read_keras(path)


def test_compressed_arrays_are_bounded_together(small: tuple[Path, h5py.File]) -> None:
    path, file = small
    for number in range(3):
        file["model_weights/Conv/Conv"].create_dataset(
            f"w{number}:0", (20_000_000,), "float32", chunks=(20_000,), compression="gzip"
        )
    file.close()
    with pytest.raises(WeightsError, match="more than 50,000,000 numbers"):
        read_keras(path)


def test_a_small_array_in_a_giant_chunk_takes_no_memory(small: tuple[Path, h5py.File]) -> None:
    path, file = small
    scope = file["model_weights/Conv/Conv"]
    scope.create_dataset("g:0", (4,), "float32", maxshape=(None,), chunks=(60_000_000,), compression="gzip")
    scope.create_dataset("h:0", data=h5py.Empty("float32"))
    file.close()
    with pytest.raises(WeightsError, match="more than 50,000,000 numbers"):
        read_keras(path)


@pytest.mark.parametrize("content", [b"\x89HDF\r\n\x1a\n" + bytes(100), b"no HDF5 at all"])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read as HDF5") as caught:
        read_keras(tmp_path / "x")
    assert "\n" not in str(caught.value)


def test_missing_file_and_foreign_hdf5(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_keras(tmp_path / "x")
    with h5py.File(tmp_path / "x", "w") as file:
        file["a"] = 1
    with pytest.raises(WeightsError, match="model_weights"):
        read_keras(tmp_path / "x")
