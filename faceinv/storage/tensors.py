"""Tensors that are computed once: read back from the cache folder, or made and written atomically."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import filelock
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from faceinv.errors import StorageError
from faceinv.storage.atomic import replacing


def load_or_make(path: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the tensors in ``path``; where there are none, ``make`` them and keep them there.

    Two processes that want the same file make it once. A file that does not read back (a disk
    that was full, say) is made anew.

    Raises:
        StorageError: if the folder cannot be written.
    """
    found = _read(path)
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            found = _read(path)
            if found is not None:
                return found
            tensors = make()
            with replacing(path) as temporary:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)
            return tensors
    except (OSError, SafetensorError) as error:
        # safetensors wraps the system's error in one of its own.
        reason = getattr(error, "strerror", None) or error
        raise StorageError(
            f"{path.parent} cannot be written: {reason}. Free space there, or set FACEINV_CACHE."
        ) from error


def _read(path: Path) -> dict[str, Tensor] | None:
    if not path.is_file():
        return None
    try:
        tensors: dict[str, Tensor] = load_file(path)
    except (SafetensorError, OSError):
        return None
    return tensors
