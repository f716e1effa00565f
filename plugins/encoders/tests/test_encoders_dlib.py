"""dlib's ResNet: the published weights compared with dlib itself, and files that are damaged or foreign."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faceinv_encoders.dlib_file import read_dlib
from faceinv_encoders.dlib_resnet import dlib_resnet
from faceinv_encoders.plugin import faceinv_encoders
from torch import Tensor

from faceinv.contracts import EncoderSpec
from faceinv.errors import WeightsError

Draw = Callable[[EncoderSpec, int], Tensor]


def test_equals_dlib(files: Callable[[str], list[Path]], faces: Draw) -> None:
    dlib = pytest.importorskip("dlib")
    (path,) = files("dlib")
    (spec,) = [spec for spec in faceinv_encoders() if spec.name == "dlib.resnet"]
    pixels = (faces(spec, 3) * 255).round().byte()
    reference = dlib.face_recognition_model_v1(str(path))
    chips = [image.permute(1, 2, 0).contiguous().numpy() for image in pixels]
    expected = torch.tensor([list(reference.compute_face_descriptor(chip)) for chip in chips])
    with torch.no_grad():
        descriptors = dlib_resnet(path)(pixels.float() / 255)
    assert (descriptors - expected).abs().max() <= 2e-6


def integer(value: int) -> bytes:
    length = max(1, (value.bit_length() + 7) // 8)
    return bytes([length]) + value.to_bytes(length, "little")


def text(value: str) -> bytes:
    return integer(len(value)) + value.encode()


def tensor(*values: float, sides: tuple[int, ...] | None = None) -> bytes:
    sides = sides or (len(values), 1, 1, 1)
    return b"".join(map(integer, (2, *sides))) + torch.tensor(values).numpy().tobytes()


#: A convolution of one 1×1 kernel, its affine layer, and a fully connected layer of 2 × 1; with what stands between.
CON = text("con_4") + tensor(3.0, 0.5) + b"".join(map(integer, (1, 1, 1)))
AFFINE = text("affine_") + tensor(2.0, 7.0)
FC = text("fc_2") + integer(1) + integer(2) + tensor(4.0, 5.0)
FILE = integer(1) + text("loss_metric_2") + CON + text("relu_1") + AFFINE + b"0101" + FC


def test_parameters_by_layer(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_bytes(FILE)
    read = {name: values.tolist() for name, values in read_dlib(tmp_path / "x.dat").items()}
    assert read == {
        "con0.weight": [[[[3.0]]]],
        "con0.bias": [0.5],
        "affine0.gamma": [2.0],
        "affine0.beta": [7.0],
        "fc0.weight": [[4.0, 5.0]],
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no network", "no layer with parameters"),
        (FILE[:-3], r"the tensor at byte \d+ has version 2 and the sides \[2, 1, 1, 1\]"),
        (text("con_4"), "no integer at byte 7"),
        (text("con_4") + b"\x09" + bytes(20), "no integer at byte 7"),
        (text("affine_") + tensor(1.0, 2.0, 3.0), "3 numbers, which is odd"),
        (text("affine_") + tensor(1.0, sides=(2**40, 2**20, 1, 1)), r"the sides \[1099511627776"),
        (text("con_4") + tensor(1.0) + b"".join(map(integer, (0, 3, 3))), "a convolution of 0 × 3 × 3 has 1 numbers"),
        (text("con_4") + tensor(1.0) + b"".join(map(integer, (1, 3, 3))) + b"x", None),
        (text("fc_2") + integer(2) + integer(2) + tensor(1.0), "a layer of 2 × 2 has 1 numbers"),
    ],
)
def test_damage(tmp_path: Path, content: bytes, message: str | None) -> None:
    path = tmp_path / "x.dat"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message) as caught:
        dlib_resnet(path)
    assert "\n" not in str(caught.value)


def test_another_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.dat").write_bytes(FILE)
    with pytest.raises(WeightsError, match=r"'dlib.resnet': .* missing \(con1.weight, .*wrongly shaped \(con0.weight"):
        dlib_resnet(tmp_path / "x.dat")
