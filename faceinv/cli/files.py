"""Read and write arrays as .npy files, without pickles."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from faceinv.errors import InputError
from faceinv.storage.atomic import write_atomically


def save_array(array: npt.NDArray[np.float32], path: Path) -> None:
    """Write ``array`` as .npy, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_atomically(path, buffer.getvalue())


def read_array(path: Path, what: str) -> npt.NDArray[np.float32]:
    """Read a .npy file of numbers; a single vector becomes one row.

    Raises:
        InputError: if the file is missing, is not a .npy file, or does not contain numbers.
    """
    try:
        array = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path}: not a .npy file of {what}: {' '.join(str(error).split())}.") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim == 0 or array.size == 0:
        raise InputError(f"{path}: {what} must be numbers in rows; the file contains something else.")
    rows = array[None] if array.ndim == 1 else array
    return np.ascontiguousarray(rows, dtype=np.float32)
