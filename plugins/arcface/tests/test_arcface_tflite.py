"""Reading constants from TensorFlow Lite files, valid and hostile."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from faceinv_arcface.tflite import read_tflite
from hypothesis import given, settings, strategies as st

from faceinv.errors import WeightsError

Arrays = Mapping[str, npt.NDArray[np.generic]]
Write = Callable[[Arrays], Path]

ARRAYS = {
    "net/weights": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "net/bias": np.array([1, -2], np.float32),
    "shape": np.array([-1, 192], np.int32),
    "half": np.array([0.5], np.float16),
    "bytes": np.array([[1, 255]], np.uint8),
    "long": np.array([1 << 40], np.int64),
    "scalar": np.array(3, np.float32),
}


def test_constants_by_name(write_tflite: Write) -> None:
    read = read_tflite(write_tflite(ARRAYS))
    assert read.keys() == ARRAYS.keys()
    assert all(np.array_equal(read[name].numpy(), array) for name, array in ARRAYS.items())
    assert all(str(read[name].numpy().dtype) == str(array.dtype) for name, array in ARRAYS.items())


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0\0\0\0TFL3", b"\x10\0\0\0TFLX" + bytes(40), b"PK\x03\x04" * 9])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(WeightsError, match=r"not a TensorFlow Lite file|damaged|empty"):
        read_tflite(tmp_path / "x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        read_tflite(tmp_path / "x")


def test_truncated_anywhere(write_tflite: Write) -> None:
    path = write_tflite(ARRAYS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError) as caught:
            read_tflite(path)
        assert "\n" not in str(caught.value)


def replaced(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path


def test_shape_that_the_content_cannot_fill(write_tflite: Write) -> None:
    path = write_tflite({"w": np.zeros((2, 3, 5), np.float32)})
    giant = replaced(path, struct.pack("<4i", 3, 2, 3, 5), struct.pack("<4i", 3, 2**31 - 1, 3, 5))
    with pytest.raises(WeightsError, match=r"'w' has the shape \[2147483647, 3, 5\], but 120 bytes"):
        read_tflite(giant)


def test_negative_shape(write_tflite: Write) -> None:
    path = write_tflite({"w": np.zeros((2, 3, 5), np.float32)})
    with pytest.raises(WeightsError, match="has the shape"):
        read_tflite(replaced(path, struct.pack("<4i", 3, 2, 3, 5), struct.pack("<4i", 3, -2, -3, 5)))


def test_vector_longer_than_the_file(write_tflite: Write) -> None:
    path = write_tflite({"w": np.full(40, 2.0, np.float32)})
    content = np.full(40, 2.0, np.float32).tobytes()
    with pytest.raises(WeightsError, match="beyond the end"):
        read_tflite(replaced(path, struct.pack("<I", 160) + content, struct.pack("<I", 2**32 - 1) + content))


def test_one_name_twice(write_tflite: Write) -> None:
    path = write_tflite({"name1": np.zeros(2, np.float32), "name2": np.zeros(2, np.float32)})
    with pytest.raises(WeightsError, match="there are two tensors 'name1'"):
        read_tflite(replaced(path, b"name2", b"name1"))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_damage_ends_in_one_line(
    tflite_bytes: Callable[[Arrays], bytes], tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    content = bytearray(tflite_bytes({"a": np.arange(3, dtype=np.float32), "b": np.ones((2, 2), np.int32)}))
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(
            st.one_of(st.binary(min_size=4, max_size=4), st.integers(-64, 64).map(lambda i: struct.pack("<i", i)))
        )
    path = tmp_path_factory.getbasetemp() / "damaged.tflite"
    path.write_bytes(bytes(content))
    try:
        tensors = read_tflite(path)
    except WeightsError as error:
        assert "\n" not in str(error)  # noqa: PT017  # either outcome is right
    else:
        assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= len(content)


def test_number_of_tensors(write_tflite: Write) -> None:
    with pytest.raises(WeightsError, match="more than 20,000 tensors"):
        read_tflite(write_tflite({str(i): np.zeros(0, np.int8) for i in range(20_001)}))


def test_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x")
    with pytest.raises(WeightsError, match="it is a pipe, socket or device"):
        read_tflite(tmp_path / "x")
