"""NumPy arrays in pickles: described first, read on demand.

We read the file ourselves rather than with ``torch.load`` or NumPy, so that nothing in it is executed.
"""

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
    """The description of an array in a pickle; no memory is allocated before it is found consistent."""

    def __init__(self, state: Any = ()) -> None:
        self._state = state

    def set_state(self, state: Any) -> None:
        """Store the state ``(version, shape, type, is_fortran, content)``."""
        self._state = state

    @property
    def nbytes(self) -> int:
        """Size of the numbers in the file, in bytes."""
        content = self._state[4] if isinstance(self._state, tuple) and len(self._state) == 5 else b""
        return len(content) if isinstance(content, (bytes, bytearray, str)) else 0

    def read(self) -> Tensor:
        """Return the array as a tensor with its own memory.

        Raises:
            WeightsError: if shape, type and content do not agree, or the values are not numbers.
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
            raise WeightsError("it is not a consistent array of numbers") from None


class _DType(Stateful):
    """The description of a NumPy type in a pickle."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code if isinstance(code, str) and re.fullmatch(r"[<>=|]?[fiub]\d{0,2}", code) else ""

    def set_state(self, state: Any) -> None:
        """Store the state ``(version, byte order, …)``."""
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.code = f"{order}{self.code.lstrip('<>=|')}" if order in ("<", ">", "=", "|") and self.code else ""


def _reconstruct(*_: Any) -> StoredArray:
    return StoredArray()


def _from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> StoredArray:
    return StoredArray((1, shape, dtype, order == "F", raw))


def _mapping(pairs: Any = ()) -> dict[Any, Any]:
    if not all(is_key(key) for key, _ in pairs):
        raise ValueError("a key that is neither a string nor a number")
    return dict(pairs)


#: Stand-ins for the globals in pickles of names and arrays. NumPy 2 renamed numpy.core; files have either name.
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
