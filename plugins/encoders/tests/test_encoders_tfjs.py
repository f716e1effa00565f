"""FaceRes and MobileFace: compared with what TensorFlow.js computes, and files that are damaged or foreign."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from faceinv_encoders.faceres import FaceRes, faceres
from faceinv_encoders.mobileface import mobileface
from faceinv_encoders.tfjs import read_tfjs
from torch import Tensor, nn

from faceinv.errors import WeightsError

#: Written by tfjs_reference.mjs beside it.
REFERENCE = json.loads((Path(__file__).parent / "tfjs_reference.json").read_text())


def image(side: int) -> Tensor:
    """Return the image of ``tfjs_reference.mjs``, ``(1, 3, side, side)`` in ``[0, 1]``."""
    y, x, c = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in (side, side, 3)), indexing="ij")
    wave = torch.sin(7 * (c + 1) * y / side + 5 * x / side + c) * torch.cos(11 * x / side)
    # JavaScript rounds halves up.
    return (torch.floor(127.5 * (1 + wave) + 0.5) / 255).float().permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("name", "build", "side", "key"),
    [("faceres", faceres, 224, "faceres-deep"), ("mobileface", mobileface, 112, "mobileface")],
)
def test_equals_tensorflow_js(
    name: str,
    build: Callable[[Path, Path], nn.Module],
    side: int,
    key: str,
    files: Callable[[str], list[Path]],
) -> None:
    manifest, content = files(name)
    network = build(manifest, content)
    with torch.no_grad():
        # The graph of FaceRes takes any pixels, and ours puts another order of colours and a mean before it.
        descriptor = (network.trunk(image(side) * 255) if isinstance(network, FaceRes) else network(image(side)))[0]
    expected = torch.tensor(REFERENCE[key])
    assert (descriptor - expected).abs().max() <= 1e-4
    assert (descriptor - expected).abs().max() <= 1e-5 * expected.abs().max()


Write = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(weights: Any, content: bytes = bytes(20)) -> tuple[Path, Path]:
        manifest, file = tmp_path / "x.json", tmp_path / "x.bin"
        manifest.write_text(json.dumps({"weightsManifest": [{"paths": ["x.bin"], "weights": weights}]}))
        file.write_bytes(content)
        return manifest, file

    return written


A = {"name": "a", "shape": [2, 2], "dtype": "float32"}
B = {"name": "b", "shape": [], "dtype": "int32"}


def test_constants_by_name(write: Write) -> None:
    content = np.arange(4, dtype="<f4").tobytes() + np.array(7, "<i4").tobytes()
    read = read_tfjs(*write([A, B], content))
    assert {name: values.tolist() for name, values in read.items()} == {"a": [[0, 1], [2, 3]], "b": 7}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([A], "has 4 bytes more than x.json says"),
        ([A, A], "names 'a' twice"),
        ([A, {**B, "shape": [2]}], "too short for 'b'"),
        ([A, {**B, "shape": [2**31 - 1] * 7}], "too short for 'b'"),
        ([{**A, "shape": [-1, 4]}], "it describes a constant as"),
        ([{**A, "shape": [True, 4]}], "it describes a constant as"),
        ([{**A, "name": 3}], "it describes a constant as"),
        ([{**A, "dtype": "complex64"}], "'a' is complex64, not one of float32, int32"),
        ([{**A, "quantization": {"dtype": "uint8"}}], "'a' is quantised"),
        ([{"name": "a"}], "it lacks 'shape'"),
        ([3], "not a TensorFlow.js graph model"),
        ([B] * 20_001, "more than 20,000 tensors"),
    ],
)
def test_damage(write: Write, weights: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message) as caught:
        read_tfjs(*write(weights))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", "3", "{}", "[" * 100_000])
def test_other_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(WeightsError, match=r"not a TensorFlow\.js graph model"):
        read_tfjs(tmp_path / "x.json", tmp_path / "x.bin")


@pytest.mark.parametrize(
    ("build", "first"), [(faceres, "conv1/convolution/merged_input"), (mobileface, "conv1_weight")]
)
def test_another_network_is_refused(write: Write, build: Callable[[Path, Path], nn.Module], first: str) -> None:
    with pytest.raises(WeightsError, match=rf"missing \({first}, .*unexpected \(a, b\)"):
        build(*write([A, B]))
