"""Arrays in .npy files, without pickles, and checks of the files that a command will write."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from faceinv.errors import InputError, UsageError, described
from faceinv.storage.atomic import write_output
from faceinv.storage.regular import open_regular


def check_outputs(outputs: Iterable[Path], inputs: Iterable[Path | None], made: Path | None = None) -> None:
    """Check the files that a command will write, before it computes anything.

    Args:
        outputs: Files that will be written.
        inputs: Files that are read.
        made: A file or folder that says, where it is, that files in the way were made by an earlier call.

    Raises:
        UsageError: if a file would be written twice, over an input, or over what was not made here; links are followed.
    """
    read = {key: path for path in inputs if path for key in _keys(path)}
    written: set[str] = set()
    for path in outputs:
        over = next((read[key] for key in _keys(path) if key in read), None)
        if over is not None:
            raise UsageError(f"{over} is an input and would be written over; choose another --out.")
        target = os.path.realpath(path)
        if target in written:
            raise UsageError(f"{path} would be written twice; rename an input, or give the inputs one by one.")
        # Looked at in this order: another process that is at work makes the mark before the file.
        if made is not None and path.exists() and not made.exists():
            raise UsageError(f"{path} exists and is not from an earlier call; choose another --out, or remove it.")
        written.add(target)


def _keys(path: Path) -> list[object]:
    """Return what two paths of one file have in common: their target or, for hard links, the file itself."""
    try:
        status = os.stat(path)
    except OSError:
        return [os.path.realpath(path)]  # unlike resolve(), it takes links that lead to themselves
    return [os.path.realpath(path), (status.st_dev, status.st_ino)]


def save_array(array: npt.NDArray[np.float32], path: Path) -> None:
    """Write ``array`` as .npy, atomically."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    write_output(path, buffer.getvalue())


def read_array(path: Path, what: str) -> npt.NDArray[np.float32]:
    """Read a .npy file of numbers; a single vector becomes one row.

    Raises:
        InputError: if the file is missing, not a regular file, not a .npy file, or does not contain numbers.
    """
    try:
        with open_regular(path) as file:
            version = np.lib.format.read_magic(file)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = header(file)
            # Compared before memory is asked for: a header can claim any size.
            whole = math.prod(shape) * dtype.itemsize <= os.fstat(file.fileno()).st_size
            numeric = dtype.kind in "fiu" and bool(shape) and math.prod(shape) > 0
            if whole and numeric:
                file.seek(0)
                array = np.lib.format.read_array(file, allow_pickle=False)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except Exception as error:  # a damaged header raises whatever Python's parser does
        raise InputError(f"{path}: not a .npy file of {what}: {described(error)}.") from None
    if not numeric:
        raise InputError(f"{path}: {what} must be numbers in rows; the file holds {dtype} of shape {shape}.")
    if not whole:
        raise InputError(f"{path}: the file is cut off: its header claims {dtype} of shape {shape}.")
    rows = array[None] if array.ndim == 1 else array
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(rows, dtype=np.float32)
