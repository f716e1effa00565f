"""Targets as files of a run: chosen and aligned once, read a batch at a time by whoever inverts them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import filelock
import torch
from PIL import Image
from torch import Tensor

from faceinv.data.images import read_image, to_bytes
from faceinv.data.targets import Chosen
from faceinv.errors import StorageError
from faceinv.storage.atomic import write_atomically

_INDEX = "index.json"


@dataclass(frozen=True, kw_only=True)
class TargetFiles(Chosen):
    """Targets that lie in a folder, one PNG each: their memory is that of the rows that are asked for.

    Args:
        folder: Where they lie, ``00000.png`` and so on.
        digest: Hash of all images.
    """

    folder: Path
    digest: str

    def path(self, row: int) -> Path:
        """Return the file of target ``row``."""
        return self.folder / f"{row:05d}.png"

    def images(self, rows: range) -> Tensor:
        """Return the images ``(n, 3, H, W)`` in ``[0, 1]`` of these rows."""
        return torch.stack([read_image(self.path(row)) for row in rows])


def target_files(folder: Path, choose: Callable[[Callable[[Tensor], None]], Chosen]) -> TargetFiles:
    """Return the targets in ``folder``; where there are none, ``choose`` them and keep them there.

    Of several processes that want them at once, one makes them and the others wait. A folder without an index was
    left half done, and is begun anew.

    Args:
        folder: A folder of their own.
        choose: Hands each image ``(3, H, W)`` to what it is given, in order, and says which they are.

    Raises:
        StorageError: the folder cannot be written.
    """
    found = _read(folder)
    if found is not None:
        return found
    digest = hashlib.sha256()
    count = 0

    def keep(image: Tensor) -> None:
        nonlocal count
        digest.update(image.numpy().tobytes())
        write_png(image, folder / f"{count:05d}.png")
        count += 1

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{folder}.lock"):
            found = _read(folder)
            if found is None:
                chosen = choose(keep)
                index = vars(chosen) | {"digest": digest.hexdigest()[:16]}
                write_atomically(folder / _INDEX, json.dumps(index, ensure_ascii=False).encode())
                found = TargetFiles(**vars(chosen), folder=folder, digest=digest.hexdigest()[:16])
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    return found


def write_png(image: Tensor, path: Path) -> None:
    """Write an image ``(3, H, W)`` in ``[0, 1]`` whole or not at all: others may be reading the folder."""
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(buffer, format="PNG")
    write_atomically(path, buffer.getvalue(), synchronise=False)


def beside(source: Path, path: Path) -> None:
    """Let ``path`` be the file ``source`` too: a link where the file system has them, otherwise a copy."""
    path.unlink(missing_ok=True)
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def _read(folder: Path) -> TargetFiles | None:
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        return TargetFiles(
            ids=tuple(index["ids"]),
            identities=None if index["identities"] is None else tuple(index["identities"]),
            real=index["real"],
            skipped=tuple((name, reason) for name, reason in index["skipped"]),
            aligned=index["aligned"],
            folder=folder,
            digest=index["digest"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
