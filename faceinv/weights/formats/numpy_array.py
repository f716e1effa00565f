"""NumPy arrays in pickles: a description first, the numbers only when asked for; no NumPy object is unpickled."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faceinv.errors import WeightsError
from faceinv.weights.formats.pickle import Builder, Stateful, encode_latin1, ignore, is_key


class StoredArray(Stateful):
    """What a pickle says of an array; nothing is allocated before it is found consistent."""

    def __init__(self, state: Any = ()) -> None:
        self._state = state

    def set_state(self, state: Any) -> None:
        """Take ``(version, shape, type, is_fortran, content)``."""
        self._state = state

    @property
    def nbytes(self) -> int:
        """Bytes of the numbers in the file."""
        content = self._state[4] if isinstance(self._state, tuple) and len(self._state) == 5 else b""
        return len(content) if isinstance(content, (bytes, bytearray, str)) else 0

    def read(self) -> Tensor:
        """Return the array as a tensor with memory of its own.

        Raises:
            WeightsError: its shape, type and content do not agree, or it holds no numbers.
        """
        try:
            _, shape, dtype, fortran, raw = self._state
            kind = np.dtype(dtype.code)
            content = raw.encode("latin1") if isinstance(raw, str) else raw
            if not isinstance(content, (bytes, bytearray)) or kind.kind not in "fiub":
                raise ValueError
            if len(content) != math.prod(shape) * kind.itemsize or min(shape, default=0) < 0:
                raise ValueError
            array = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
            return torch.from_numpy(np.array(array, kind.newbyteorder("="), order="C"))
        except (ValueError, TypeError, AttributeError, OverflowError, MemoryError):
            raise WeightsError("it is no consistent array of numbers") from None


class _DType(Stateful):
    """What a pickle says of a NumPy type."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code if isinstance(code, str) and re.fullmatch(r"[<>=|]?[fiub]\d{0,2}", code) else ""

    def set_state(self, state: Any) -> None:
        """Take ``(version, byte order, …)``."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.code = f"{order}{self.code.lstrip('<>=|')}" if order in ("<", ">", "=", "|") and self.code else ""


def _reconstruct(*_: Any) -> StoredArray:
    return StoredArray()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> StoredArray:
    return StoredArray((1, shape, dtype, order == "F", raw))


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    if not all(is_key(key) for key, _ in pairs):
        raise ValueError("a key that is neither text nor a number")
    return dict(pairs)


#: Stand-ins for what pickles of names and arrays name. NumPy 2 moved numpy.core; either spelling is found in files.
ARRAY_BUILDERS: Mapping[str, Builder] = {
    "numpy.ndarray": ignore,
    "numpy.dtype": _DType,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
    "numpy.core.multiarray.scalar": ignore,
    "numpy._core.multiarray.scalar": ignore,
    "_codecs.encode": encode_latin1,
    "collections.OrderedDict": _mapping,
}
