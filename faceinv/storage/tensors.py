"""Tensors that are computed once: read back from the cache folder, or made and written atomically."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import filelock
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from faceinv.errors import StorageError
from faceinv.storage.atomic import replacing
from faceinv.storage.hashing import fingerprint
from faceinv.storage.shipments import Shipment, made_of_others

Origin = Literal["shipped", "trained"]


class TensorCache:
    """A folder of tensors that are computed once, each file named by a hash of everything that its tensors depend on.

    A file that the folder lacks may be in a shipment, under the same name.

    Args:
        folder: The folder.
        say: Called with a line for each file that cannot be used, and if a shipment was made from something else.
        shipments: Folders that plugins ship; read only.
    """

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None] = lambda text: None,
        shipments: Sequence[Shipment] = (),
    ) -> None:
        #: Where each file came from that is small enough to be shipped, by what it is.
        self.origins: dict[str, Origin] = {}
        self._folder = folder
        self._say = say
        self._shipments = shipments
        self._said: set[str] = set()
        self._paths: dict[str, Path] = {}

    def load_or_make(
        self, what: str, parts: Mapping[str, object], make: Callable[[], dict[str, Tensor]], *, bulky: bool = False
    ) -> dict[str, Tensor]:
        """Return the tensors that are kept or shipped for ``parts``; otherwise ``make`` them and keep them.

        Args:
            what: What they are, the start of the file's name.
            parts: Everything that they depend on.
            make: Computes them.
            bulky: They are too large to be shipped.

        Raises:
            StorageError: if the folder cannot be written.
        """
        path = self._folder / f"{what}-{fingerprint(parts)}.safetensors"
        if bulky:
            return load_or_make(path, make, self._say, parts)
        origin: Origin = "trained"
        found, _ = _read(path)
        if found is None:
            found, origin = self._shipped(path.name), "shipped"
        if found is None:
            self._say_why_not_shipped(path.name, what, parts)
            found, origin = load_or_make(path, make, self._say, parts), "trained"
        self.origins[what], self._paths[path.name] = origin, path
        return found

    def export(self, folder: Path) -> dict[str, int]:
        """Write everything that was used and is not bulky as it is shipped; return the size of each file in bytes.

        Matrices in float32, which are weights of networks, are rounded to half precision. What must not be rounded is
        kept in float64 from the start.

        Raises:
            StorageError: if the folder cannot be written, or a file is not in the cache.
        """
        sizes = {}
        for name, path in self._paths.items():
            found, reason = _read(path)
            if found is None:
                raise StorageError(f"{path}: {reason or 'not there'}; train it first.")
            with safe_open(path, "pt") as file:
                parts = json.loads(file.metadata()["parts"])
            with _written_to(folder):
                _write(folder / name, _halved(found), parts)
                sizes[name] = (folder / name).stat().st_size
        return sizes

    def _shipped(self, name: str) -> dict[str, Tensor] | None:
        for shipment in self._shipments:
            found, reason = _read(shipment.folder / name)
            if found is not None:
                return {key: value.float() if value.dtype == torch.half else value for key, value in found.items()}
            if reason:
                self._say(f"{shipment.folder / name}: {reason}, and not used; reinstall {shipment.owner}.")
        return None

    def _say_why_not_shipped(self, name: str, what: str, parts: Mapping[str, object]) -> None:
        for shipment in self._shipments:
            if (shipment.folder / name).exists():
                continue  # damaged, which has been said
            reason = made_of_others(shipment.folder, what, json.loads(_text(parts)))
            if reason and reason not in self._said:
                self._said.add(reason)
                self._say(f"Training here, because what {shipment.owner} ships was made with {reason}.")


def load_or_make(
    path: Path,
    make: Callable[[], dict[str, Tensor]],
    say: Callable[[str], None] = lambda text: None,
    parts: Mapping[str, object] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors in ``path``; where there are none, ``make`` them and keep them there.

    Two processes that want the same file make it once. A file that cannot be read, or is not as it was written here
    under this name, is made anew.

    Args:
        path: A safetensors file, with a digest of its name and tensors in its metadata.
        make: Computes the tensors.
        say: Called with a line if a file is there but cannot be used.
        parts: Everything that they depend on, to be noted in the file.

    Raises:
        StorageError: if the folder cannot be written.
    """
    found, _ = _read(path)
    if found is not None:
        return found
    with _written_to(path.parent, " Free space there, or set FACEINV_CACHE."), filelock.FileLock(f"{path}.lock"):
        found, reason = _read(path)
        if found is not None:
            return found
        if reason:
            say(f"{path}: {reason}; it is made anew.")
        tensors = {name: tensor.contiguous() for name, tensor in make().items()}
        _write(path, tensors, parts or {})
        return tensors


@contextmanager
def _written_to(folder: Path, hint: str = "") -> Iterator[None]:
    """Create a folder and write to it in the block.

    Raises:
        StorageError: if it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except (OSError, SafetensorError) as error:
        # safetensors wraps the system's error in one of its own.
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"{folder} cannot be written: {reason}.{hint}") from error


def _write(path: Path, tensors: dict[str, Tensor], parts: Mapping[str, object]) -> None:
    with replacing(path) as temporary:
        save_file(tensors, temporary, {"sha256": _digest(path, tensors), "parts": _text(parts)})


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


def _halved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Round matrices in float32 to half precision, unless a number is too large for it."""

    def rounded(tensor: Tensor) -> Tensor:
        fits = tensor.dtype == torch.float32 and tensor.ndim > 1 and bool(tensor.half().isfinite().all())
        return tensor.half() if fits else tensor

    return {name: rounded(tensor) for name, tensor in tensors.items()}


def _text(parts: Mapping[str, object]) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def _digest(path: Path, tensors: Mapping[str, Tensor]) -> str:
    return tensors_sha256(tensors, path.name)


def tensors_sha256(tensors: Mapping[str, Tensor], name: str = "") -> str:
    """Return a hash of the names, types, shapes and bytes of tensors, and of a ``name`` that they have together."""
    digest = hashlib.sha256(name.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
