"""A reader of the parameters in a network file of dlib (``.dat``).

dlib writes its own objects one after another: versions, layers and the state of their training. We read the tags and
parameters of layers only. An integer is a byte with its length, then that many bytes, lowest first; a text is an
integer and its bytes; a tensor is a version (2), four sides, and its values as little-endian float32
(``dlib/serialize.h``, ``dlib/dnn/tensor.h``, ``dlib/dnn/layers.h``).
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from faceinv.errors import WeightsError
from faceinv.weights import check_count, opened

#: Largest file to read, in bytes; the largest recognition network of dlib has 22 MB.
_LARGEST = 200_000_000

#: Tags of the layers that have parameters, as they are written: with their length.
_TAGS = {b"\x01\x05con_4": "con", b"\x01\x07affine_": "affine", b"\x01\x04fc_2": "fc"}

#: Most bytes between the parameters of one layer and the tag of the next.
_GAP = 4096


def read_dlib(path: Path) -> dict[str, Tensor]:
    """Return the parameters of a network's layers, in the order of the computation.

    Convolutions are ``con{i}.weight`` ``(out, in, height, width)`` and ``con{i}.bias``; affine layers
    ``affine{i}.gamma`` and ``affine{i}.beta``; fully connected layers without bias ``fc{i}.weight`` ``(out, in)``. Each
    kind is numbered from 0.

    Raises:
        WeightsError: if the file cannot be read, is not a network of dlib, or is damaged.
    """
    with opened(path) as (file, size):
        if size > _LARGEST:
            raise WeightsError(f"{path} is larger than {_LARGEST:,} bytes; no recognition network of dlib is.")
        data = file.read()
    try:
        return _Stream(data).layers()
    except WeightsError as error:
        raise WeightsError(f"{path} cannot be read as a network of dlib: {error}.") from None


class _Stream:
    """Reads a file from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def layers(self) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        counts = dict.fromkeys(_TAGS.values(), 0)
        while kind := self._next_layer():
            name = f"{kind}{counts[kind]}"
            counts[kind] += 1
            check_count(sum(counts.values()))
            found |= {f"{name}.{field}": tensor for field, tensor in getattr(self, f"_{kind}")().items()}
        if not found:
            raise WeightsError("it has no layer with parameters")
        return found

    def _next_layer(self) -> str | None:
        """Move behind the next tag, and return the kind of its layer; ``None`` at the end."""
        window = self._data[self._at : self._at + _GAP]
        places = {tag: window.find(tag) for tag in _TAGS}
        there = {tag: place for tag, place in places.items() if place >= 0}
        if not there:
            return None
        tag = min(there, key=there.__getitem__)
        self._at += there[tag] + len(tag)
        return _TAGS[tag]

    def _con(self) -> dict[str, Tensor]:
        values = self._tensor()
        outputs, height, width = (self._integer() for _ in range(3))
        inputs = (len(values) - outputs) // max(1, outputs * height * width)
        if outputs < 1 or outputs * (inputs * height * width + 1) != len(values):
            raise WeightsError(f"a convolution of {outputs} × {height} × {width} has {len(values):,} numbers")
        kernel = values[:-outputs].reshape(outputs, inputs, height, width)
        return {"weight": kernel, "bias": values[-outputs:]}

    def _affine(self) -> dict[str, Tensor]:
        values = self._tensor()
        if len(values) % 2:
            raise WeightsError(f"an affine layer has {len(values):,} numbers, which is odd")
        gamma, beta = values.chunk(2)
        return {"gamma": gamma, "beta": beta}

    def _fc(self) -> dict[str, Tensor]:
        outputs, inputs = self._integer(), self._integer()
        values = self._tensor()
        if outputs < 1 or outputs * inputs != len(values):
            raise WeightsError(f"a layer of {outputs} × {inputs} has {len(values):,} numbers")
        return {"weight": values.reshape(inputs, outputs).T.contiguous()}

    def _integer(self) -> int:
        """Return the next integer, which is never negative where we read one."""
        length = self._data[self._at] if self._at < len(self._data) else 0
        value = self._data[self._at + 1 : self._at + 1 + length]
        if not 1 <= length <= 8 or len(value) < length:
            raise WeightsError(f"there is no integer at byte {self._at:,}")
        self._at += 1 + length
        return int.from_bytes(value, "little")

    def _tensor(self) -> Tensor:
        """Return the next tensor's values, ``(n,)``."""
        version, *sides = (self._integer() for _ in range(5))
        count, start = math.prod(sides), self._at
        if version != 2 or not 0 < count <= (len(self._data) - start) // 4:
            raise WeightsError(f"the tensor at byte {start:,} has version {version} and the sides {sides}")
        self._at += 4 * count
        return torch.frombuffer(bytearray(self._data[start : self._at]), dtype=torch.float32)
