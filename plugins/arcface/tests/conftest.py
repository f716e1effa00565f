"""A writer of TensorFlow Lite files, including invalid ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import flatbuffers
import numpy as np
import numpy.typing as npt
import pytest

Arrays = Mapping[str, npt.NDArray[np.generic]]

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9, "float64": 10}


def to_tflite(arrays: Arrays) -> bytes:
    """Write a model of one graph without operators, whose constants are ``arrays``."""
    builder = flatbuffers.Builder(1024)
    buffers = [_table(builder, {})]  # by convention the first buffer is empty
    tensors = []
    for name, array in arrays.items():
        data = builder.CreateByteVector(array.tobytes())
        buffers.append(_table(builder, {0: data}))
        builder.StartVector(4, array.ndim, 4)
        for side in reversed(array.shape):
            builder.PrependInt32(side)
        fields = {0: builder.EndVector(), 3: builder.CreateString(name)}
        builder.StartObject(4)
        for slot, offset in fields.items():
            builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
        builder.PrependInt8Slot(1, TYPES[array.dtype.name], 0)
        builder.PrependUint32Slot(2, len(buffers) - 1, 0)
        tensors.append(builder.EndObject())
    # A tensor without content, like the intermediate results of a graph.
    name_of_result = builder.CreateString("result")
    tensors.append(_table(builder, {3: name_of_result}))
    graph = _table(builder, {0: _vector(builder, tensors)})
    model = _table(builder, {2: _vector(builder, [graph]), 4: _vector(builder, buffers)})
    builder.Finish(model, file_identifier=b"TFL3")
    return bytes(builder.Output())


def _vector(builder: flatbuffers.Builder, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _table(builder: flatbuffers.Builder, offsets: dict[int, int]) -> int:
    builder.StartObject(5)
    for slot, offset in offsets.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return int(builder.EndObject())


@pytest.fixture(scope="session")
def tflite_bytes() -> Callable[[Arrays], bytes]:
    return to_tflite


@pytest.fixture
def write_tflite(tmp_path: Path) -> Callable[[Arrays], Path]:
    def write(arrays: Arrays) -> Path:
        path = tmp_path / "model.tflite"
        path.write_bytes(to_tflite(arrays))
        return path

    return write
