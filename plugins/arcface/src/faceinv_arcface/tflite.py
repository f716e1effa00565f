"""A reader of the constant tensors of a TensorFlow Lite file.

We read the file ourselves rather than with an interpreter, so that nothing in it is executed. It is a FlatBuffer; the
tables and field numbers used here are those of TensorFlow Lite's published schema (``schema.fbs``, version 3):
``Model.subgraphs`` 2, ``Model.buffers`` 4, ``SubGraph.tensors`` 0, ``Tensor.shape`` 0, ``.type`` 1, ``.buffer`` 2,
``.name`` 3, ``Buffer.data`` 0. An offset is followed only after checking that it is inside the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flatbuffers import encode, number_types as flags
from torch import Tensor

from faceinv.errors import WeightsError, shown
from faceinv.weights import check_count, opened

IDENTIFIER = b"TFL3"

#: Limit on the length of a name; longer ones are cut.
_NAME_BYTES = 1000

#: ``TensorType`` of the schema → NumPy type, for the types that PyTorch also has.
_TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "|u1", 4: "<i8", 9: "|i1", 10: "<f8"}


def read_tflite(path: Path) -> dict[str, Tensor]:
    """Return the constant tensors of the first graph by name, in the file's own layout.

    Args:
        path: A ``.tflite`` file, at most 2 GiB (the format's own limit).

    Raises:
        WeightsError: if the file cannot be read, is not a TensorFlow Lite file, or is damaged.
    """
    with opened(path) as (file, size):
        if file.read(8)[4:] != IDENTIFIER or size >= 2**31:
            raise WeightsError(f"{path} is not a TensorFlow Lite file (it lacks the mark {IDENTIFIER.decode()}).")
        try:
            file.seek(0)
            return _constants(file.read())
        except (_DamageError, WeightsError) as error:
            raise WeightsError(f"{path} is damaged: {error}; delete it and fetch it again.") from None


class _DamageError(Exception):
    """Damage to the file, described in a few words."""


class _Table:
    """A FlatBuffer table; every access is checked against the bounds of the file."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position
        self._fields = position - _number(data, position, flags.SOffsetTFlags)
        self._fields_size = _number(data, self._fields, flags.VOffsetTFlags)

    def offset(self, field: int) -> int | None:
        """Return the position of ``field``, or ``None`` if it has its default value."""
        slot = 4 + 2 * field
        if slot + 2 > self._fields_size:
            return None
        distance = _number(self.data, self._fields + slot, flags.VOffsetTFlags)
        return self.position + distance if distance else None

    def number(self, field: int, kind: Any) -> int:
        """Return a scalar field; the schema's default is 0 for all fields read here."""
        at = self.offset(field)
        return 0 if at is None else _number(self.data, at, kind)

    def vector(self, field: int, item_size: int) -> tuple[int, int]:
        """Return start and length of a vector of items of ``item_size`` bytes; a missing vector is empty."""
        at = self.offset(field)
        if at is None:
            return 0, 0
        head = at + _number(self.data, at, flags.UOffsetTFlags)
        length = _number(self.data, head, flags.UOffsetTFlags)
        if head + 4 + length * item_size > len(self.data):
            raise _DamageError("a vector extends beyond the end of the file")
        return head + 4, length

    def tables(self, field: int) -> list[_Table]:
        """Return the tables that a vector of offsets points to."""
        start, length = self.vector(field, 4)
        check_count(length)
        places = [start + 4 * index for index in range(length)]
        return [_Table(self.data, place + _number(self.data, place, flags.UOffsetTFlags)) for place in places]

    def bytes(self, field: int) -> memoryview:
        """Return a vector of bytes, or a string, without copying."""
        start, length = self.vector(field, 1)
        return memoryview(self.data)[start : start + length]


def _number(data: bytes, position: int, kind: Any) -> int:
    if position < 0 or position + kind.bytewidth > len(data):
        raise _DamageError("an offset points outside the file")
    get: Callable[..., int] = encode.Get
    return int(get(kind.packer_type, data, position))


def _constants(data: bytes) -> dict[str, Tensor]:
    model = _Table(data, _number(data, 0, flags.UOffsetTFlags))
    graphs = model.tables(2)
    if not graphs:
        raise _DamageError("it contains no graph")
    buffers = model.tables(4)
    found: dict[str, Tensor] = {}
    used = 0
    for table in graphs[0].tables(0):
        index = table.number(2, flags.Uint32Flags)
        if index >= len(buffers):
            raise _DamageError(f"a tensor reads buffer {index} of {len(buffers)}")
        content = buffers[index].bytes(0)
        if not content:  # an intermediate result, not a constant
            continue
        # Many tensors that share one buffer could make a small file use any amount of memory.
        used += len(content)
        if used > len(data):
            raise _DamageError("its tensors share buffers")
        # Tensors can share a name's bytes, too.
        name = bytes(table.bytes(3)[:_NAME_BYTES]).decode("utf-8", "replace")
        if name in found:
            raise _DamageError(f"there are two tensors '{shown(name)}'")
        found[name] = _tensor(name, table, content)
    return found


def _tensor(name: str, table: _Table, content: memoryview) -> Tensor:
    start, rank = table.vector(0, 4)
    shape = [_number(table.data, start + 4 * axis, flags.Int32Flags) for axis in range(min(rank, 9))]
    kind = table.number(1, flags.Int8Flags)
    if kind not in _TYPES:
        raise _DamageError(f"the tensor '{shown(name)}' has the type {kind}, which is not one of {sorted(_TYPES)}")
    dtype = np.dtype(_TYPES[kind])
    if rank > 8 or min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != len(content):
        raise _DamageError(f"the tensor '{shown(name)}' has the shape {shape}, but {len(content)} bytes")
    array = np.frombuffer(content, dtype).reshape(shape)
    return torch.from_numpy(array.astype(dtype.newbyteorder("=")))
