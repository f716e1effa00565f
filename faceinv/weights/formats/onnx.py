"""ONNX files, read without the ``onnx`` package: the graph's nodes, tensors, inputs and outputs.

Fields are numbered as in ``onnx.proto``. Nothing in a file is executed, and the size of each tensor is compared with
the bytes that are there before memory is allocated. Tensors in other files are read only from the file's own folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from torch import Tensor

from faceinv.errors import WeightsError, shown
from faceinv.storage.regular import open_inside
from faceinv.weights.formats.opening import check_count, opened
from faceinv.weights.formats.protobuf import fields, floats, inside, numbers, signed, text

Attribute = int | float | str | Tensor | tuple[int, ...] | tuple[float, ...] | tuple[str, ...] | None

#: ONNX's number of each type of tensor elements, and NumPy's name of it.
_TYPES = {
    1: "f4", 2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 10: "f2", 11: "f8", 12: "u4", 13: "u8",
}  # fmt: skip
_BFLOAT16, _UINT4, _INT4 = 16, 21, 22
#: Field that has a tensor's elements if they are not raw, by type.
_TYPED = {"f4": 4, "f8": 10, "i8": 7, "u4": 11, "u8": 11}
_MAX_NODES = 50_000
#: The limit of protocol buffers.
_MOST_BYTES = 1 << 31
#: Attributes that hold a graph: control flow.
_GRAPH, _GRAPHS = 6, 11


@dataclass(frozen=True)
class OnnxNode:
    """One operation.

    Args:
        operator: Name of the operator, with its domain in front unless that is ONNX's own.
        inputs: Names of its inputs; an optional one that is left out is empty.
        outputs: Names of its outputs.
        attributes: Its attributes; ``None`` for one that holds a graph.
    """

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True)
class OnnxValue:
    """An input or output of the graph.

    Args:
        name: Its name.
        shape: Its shape; ``None`` for a side that is not fixed.
        is_float: Whether it holds 32-bit floats.
    """

    name: str
    shape: tuple[int | None, ...]
    is_float: bool


@dataclass(frozen=True)
class OnnxGraph:
    """A network in an ONNX file.

    Args:
        nodes: Its operations, in order.
        tensors: Its stored tensors, by name.
        inputs: What its operations take, without the tensors that are stored.
        outputs: What it returns.
        opset: Version of the operators.
        files: Files beside it that hold some of its tensors.
    """

    nodes: tuple[OnnxNode, ...]
    tensors: Mapping[str, Tensor]
    inputs: tuple[OnnxValue, ...]
    outputs: tuple[OnnxValue, ...]
    opset: int
    files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class _Folder:
    """The folder of a file, and the files in it that were read."""

    path: Path
    files: dict[Path, None] = field(default_factory=dict)


def read_onnx(path: Path) -> OnnxGraph:
    """Read an ONNX file.

    Raises:
        WeightsError: if it is missing, cut off, damaged or not an ONNX file; if a tensor does not have the size that
            its shape says; or if tensors lie outside the file's folder.
    """
    try:
        with opened(path) as (file, size):
            if size > _MOST_BYTES:
                raise WeightsError("it has more than 2 GB, which no ONNX file may have")
            return _read_model(memoryview(file.read()), _Folder(path.parent))
    except (ValueError, OverflowError) as error:
        cause = f"it is damaged: {error}"
    except WeightsError as error:
        cause = str(error).rstrip(".")
        if cause.startswith(str(path)):
            raise
    raise WeightsError(f"{path} is not a usable ONNX file: {cause}.")


def _read_model(message: memoryview, folder: _Folder) -> OnnxGraph:
    graph: memoryview | None = None
    opset = 0
    for number, value in fields(message):
        if number == 7:
            graph = inside(value)
        elif number == 8:
            found = dict(fields(inside(value)))
            if not text(found.get(1, memoryview(b""))):
                opset = signed(found.get(2, 0))
    if graph is None or not 1 <= opset < 1000:
        raise WeightsError("it contains no graph, or names no version of its operators")
    return _read_graph(graph, folder, opset)


def _read_graph(message: memoryview, folder: _Folder, opset: int) -> OnnxGraph:
    nodes: list[OnnxNode] = []
    tensors: dict[str, Tensor] = {}
    inputs, outputs = [], []
    for number, value in fields(message):
        if number == 1:
            nodes.append(_read_node(inside(value), folder))
            if len(nodes) > _MAX_NODES:
                raise WeightsError(f"it has more than {_MAX_NODES:,} operations")
        elif number == 5:
            name, tensor = _read_tensor(inside(value), folder)
            tensors[name] = tensor
            check_count(len(tensors))
        elif number == 11:
            inputs.append(_read_value(inside(value)))
        elif number == 12:
            outputs.append(_read_value(inside(value)))
        elif number == 15:
            raise WeightsError("it stores a sparse tensor, which is not supported")
    # Before version 4 of the format every stored tensor was an input as well, and quantisers leave unused ones behind.
    used = {name for node in nodes for name in node.inputs} - tensors.keys()
    taken = tuple(item for item in inputs if item.name in used)
    return OnnxGraph(tuple(nodes), tensors, taken, tuple(outputs), opset, tuple(folder.files))


def _read_node(message: memoryview, folder: _Folder) -> OnnxNode:
    inputs, outputs, operator, domain = [], [], "", ""
    attributes: dict[str, Attribute] = {}
    for number, value in fields(message):
        if number == 1:
            inputs.append(text(value))
        elif number == 2:
            outputs.append(text(value))
        elif number == 4:
            operator = text(value)
        elif number == 7:
            domain = text(value)
        elif number == 5:
            name, attribute = _read_attribute(inside(value), folder)
            attributes[name] = attribute
    whole = operator if domain in ("", "ai.onnx") else f"{domain}.{operator}"
    return OnnxNode(whole, tuple(inputs), tuple(outputs), attributes)


def _read_attribute(message: memoryview, folder: _Folder) -> tuple[str, Attribute]:
    name, kind = "", 0
    single: Attribute = None
    whole: list[int] = []
    real: list[float] = []
    words: list[str] = []
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 2:
            single = floats(value)[0] if len(inside(value)) == 4 else None
        elif number == 3:
            single = signed(value)
        elif number == 4:
            single = text(value)
        elif number == 5:
            single = _read_tensor(inside(value), folder)[1]
        elif number == 7:
            real += floats(value)
        elif number == 8:
            whole += numbers(value)
        elif number == 9:
            words.append(text(value))
        elif number == 20:
            kind = signed(value)
        elif number in (_GRAPH, _GRAPHS):
            return name, None
    lists: Mapping[int, Attribute] = {6: tuple(real), 7: tuple(whole), 8: tuple(words)}
    zeros: Mapping[int, Attribute] = {1: 0.0, 2: 0, 3: ""}  # proto3 leaves out a zero
    return name, lists.get(kind, zeros.get(kind) if single is None else single)


def _read_value(message: memoryview) -> OnnxValue:
    name, is_float = "", False
    shape: tuple[int | None, ...] = ()
    for number, value in fields(message):
        if number == 1:
            name = text(value)
        elif number == 2:
            described = dict(fields(inside(value))).get(1)
            if described is None:
                raise WeightsError(f"its value '{shown(name)}' is not a tensor")
            parts = dict(fields(inside(described)))
            is_float = parts.get(1) == 1
            sides = fields(inside(parts.get(2, memoryview(b""))))
            shape = tuple(_side(inside(side)) for number, side in sides if number == 1)
    return OnnxValue(name, shape, is_float)


def _side(message: memoryview) -> int | None:
    value = dict(fields(message)).get(1)
    return signed(value) if isinstance(value, int) and signed(value) > 0 else None


def _read_tensor(message: memoryview, folder: _Folder) -> tuple[str, Tensor]:
    name, kind, shape = "", 0, []
    raw: memoryview | bytes | None = None
    typed: dict[int, list[memoryview | int]] = {}
    outside: dict[str, str] = {}
    for number, value in fields(message):
        if number == 1:
            shape += numbers(value)
        elif number == 2:
            kind = signed(value)
        elif number == 8:
            name = text(value)
        elif number == 9:
            raw = inside(value)
        elif number == 13:
            entry = dict(fields(inside(value)))
            outside[text(entry.get(1, memoryview(b"")))] = text(entry.get(2, memoryview(b"")))
        elif number in (4, 5, 7, 10, 11):
            typed.setdefault(number, []).append(value)
    what = f"the tensor '{shown(name)}'"
    if kind not in (*_TYPES, _BFLOAT16, _UINT4, _INT4):
        raise WeightsError(f"{what} has elements of a type that is not supported (number {kind})")
    if min(shape, default=0) < 0 or len(shape) > 8:
        raise WeightsError(f"{what} has the shape {shown(shape)}")
    count = math.prod(shape)
    if outside:
        raw = _outside(folder, outside, _nbytes(kind, count), what)
    if raw is None:
        return name, _typed(typed, kind, count, what).reshape(shape)
    if len(raw) != _nbytes(kind, count):
        raise WeightsError(f"{what} of shape {tuple(shape)} has {len(raw):,} bytes; the file is cut off or damaged")
    return name, _from_raw(raw, kind, count).reshape(shape)


def _nbytes(kind: int, count: int) -> int:
    if kind in (_UINT4, _INT4):
        return (count + 1) // 2
    return count * (2 if kind == _BFLOAT16 else np.dtype(_TYPES[kind]).itemsize)


def _from_raw(raw: memoryview | bytes, kind: int, count: int) -> Tensor:
    if kind == _BFLOAT16:
        # The upper half of a 32-bit float.
        halves = np.frombuffer(raw, "<u2").astype("<u4") << 16
        return torch.from_numpy(halves.view("<f4").copy())
    if kind in (_UINT4, _INT4):
        packed = np.frombuffer(raw, "u1")
        pairs = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[:count].astype("i1")
        return torch.from_numpy(np.where(pairs > 7, pairs - 16, pairs) if kind == _INT4 else pairs.astype("u1"))
    return torch.from_numpy(np.frombuffer(raw, np.dtype(_TYPES[kind]).newbyteorder("<")).copy())


def _typed(typed: Mapping[int, list[memoryview | int]], kind: int, count: int, what: str) -> Tensor:
    """Return a tensor whose elements are fields of the message rather than raw bytes."""
    code = _TYPES.get(kind, "")
    parts = typed.get(_TYPED.get(code, 5), [])
    if code in ("f4", "f8"):
        raw = b"".join(bytes(inside(part)) for part in parts)
        if len(raw) != _nbytes(kind, count):
            raise WeightsError(f"{what} has {len(raw):,} bytes, not {count:,} numbers")
        return _from_raw(raw, kind, count)
    found = [number for part in parts for number in numbers(part)]
    if len(found) != (_nbytes(kind, count) if kind in (_UINT4, _INT4) else count):
        raise WeightsError(f"{what} has {len(found):,} numbers, not {count:,}")
    if kind in (_UINT4, _INT4):
        return _from_raw(bytes(number & 255 for number in found), kind, count)
    if code == "f2" or kind == _BFLOAT16:
        return _from_raw(np.asarray(found, "i8").astype("<u2").tobytes(), kind, count)
    return torch.from_numpy(np.asarray(found, "i8").astype(code))


def _outside(folder: _Folder, entry: Mapping[str, str], size: int, what: str) -> bytes:
    """Return the bytes of a tensor that is stored in another file of the same folder."""
    location = PurePosixPath(entry.get("location", ""))
    if location.is_absolute() or ".." in location.parts or not location.parts or "\\" in str(location):
        raise WeightsError(f"{what} is stored in '{shown(location)}', outside the file's folder")
    try:
        offset = int(entry.get("offset") or 0)
        with open_inside(folder.path, folder.path / location) as file:
            folder.files[folder.path / location] = None
            file.seek(0, 2)
            if offset < 0 or file.tell() - offset < size:
                raise WeightsError(f"{what} is longer than the file '{shown(location)}' that it is stored in")
            file.seek(offset)
            return file.read(size)
    except OSError as error:
        raise WeightsError(f"{what} is stored in '{shown(location)}': {error.strerror or error}") from None
