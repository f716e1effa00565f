"""Opening of weights files: what every reader of one has in common."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from faceinv.errors import WeightsError
from faceinv.storage.regular import open_regular

#: Limit on the tensors in a file, since each costs time even if it is empty; networks have up to a few thousand.
MAX_TENSORS = 20_000


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """Open a weights file, and yield it with its size in bytes.

    Raises:
        WeightsError: if it is missing, empty or not a regular file; or if the block cannot read it, or runs out of
            memory.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if not size:
                raise WeightsError(f"{path}: the file is empty.")
            yield file, size
    except FileNotFoundError:
        raise WeightsError(f"{path} does not exist.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from None
    except (MemoryError, RuntimeError) as error:
        # PyTorch has no error type of its own for a failed allocation on the CPU.
        if isinstance(error, RuntimeError) and "allocate memory" not in str(error):
            raise
        raise WeightsError(f"{path} cannot be read: it needs more memory than is free.") from None


def check_count(count: int) -> None:
    """Raise :class:`WeightsError` if a file has too many tensors."""
    if count > MAX_TENSORS:
        raise WeightsError(f"it contains more than {MAX_TENSORS:,} tensors; no network has that many")
