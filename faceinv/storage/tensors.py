"""Tensors that are computed once: read back from the cache folder, or made and written atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import filelock
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faceinv.errors import StorageError
from faceinv.storage.atomic import replacing
from faceinv.storage.hashing import fingerprint


class TensorCache:
    """A folder of tensors that are computed once, each file named by a hash of everything that its tensors depend on.

    Args:
        folder: The folder.
        say: Called with a line for each file that cannot be used and is made anew.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = lambda text: None) -> None:
        self._folder = folder
        self._say = say

    def load_or_make(
        self, what: str, parts: Mapping[str, object], make: Callable[[], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Return the tensors that are kept for ``parts``; where there are none, ``make`` them and keep them.

        Args:
            what: What they are, the start of the file's name.
            parts: Everything that they depend on.
            make: Computes them.

        Raises:
            StorageError: if the folder cannot be written.
        """
        return load_or_make(self._folder / f"{what}-{fingerprint(parts)}.safetensors", make, self._say)


def load_or_make(
    path: Path, make: Callable[[], dict[str, Tensor]], say: Callable[[str], None] = lambda text: None
) -> dict[str, Tensor]:
    """Return the tensors in ``path``; where there are none, ``make`` them and keep them there.

    Two processes that want the same file make it once. A file that cannot be read, or is not as it was written here
    under this name, is made anew.

    Args:
        path: A safetensors file, with a digest of its name and tensors in its metadata.
        make: Computes the tensors.
        say: Called with a line if a file is there but cannot be used.

    Raises:
        StorageError: if the folder cannot be written.
    """
    found, _ = _read(path)
    if found is not None:
        return found
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{path}.lock"):
            found, reason = _read(path)
            if found is not None:
                return found
            if reason:
                say(f"{path}: {reason}; it is made anew.")
            tensors = {name: tensor.contiguous() for name, tensor in make().items()}
            with replacing(path) as temporary:
                save_file(tensors, temporary, {"sha256": _digest(path, tensors)})
            return tensors
    except (OSError, SafetensorError) as error:
        # safetensors wraps the system's error in one of its own.
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(
            f"{path.parent} cannot be written: {reason}. Free space there, or set FACEINV_CACHE."
        ) from error


def _read(path: Path) -> tuple[dict[str, Tensor] | None, str]:
    """Return the tensors in a file; otherwise ``None``, and the reason if the file is there."""
    if not path.is_file():
        return None, ""
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            written = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError) as error:
        return None, f"cannot be read ({getattr(error, 'strerror', None) or error})"
    if written != _digest(path, tensors):
        return None, "not as it was written"
    return tensors, ""


def _digest(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Return a hash of the file's name, and the names, types, shapes and bytes of its tensors."""
    digest = hashlib.sha256(path.name.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
