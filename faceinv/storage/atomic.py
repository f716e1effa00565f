"""Write a file whole or not at all."""

from __future__ import annotations

import functools
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from faceinv.errors import StorageError

#: Names of temporary folders, and the seconds after which one must be of a process that was killed.
_TEMPORARY = re.compile(r"\..+\.faceinv-[0-9a-f]{12}", re.DOTALL)
_ABANDONED = 3600


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces ``path`` if the block succeeds, and is removed otherwise.

    It is in a temporary folder, because some writers, such as safetensors, have temporary files of their own beside it.
    Temporary folders that killed processes left are removed, too, if they are an hour old.

    Raises:
        OSError: if the folder is missing or cannot be written to.
    """
    _remove_abandoned(path.parent)
    # The name is cut so that the temporary one is no longer than file systems allow.
    folder = path.with_name(f".{path.name[:50]}.faceinv-{uuid4().hex[:12]}")
    folder.mkdir()
    try:
        temporary = folder / "file"
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        # Some writers, such as safetensors, make files that only their owner can read; these are meant to be shared.
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_atomically(path: Path, content: bytes, *, synchronise: bool = True) -> None:
    """Write ``content`` to the file ``path``, whole or not at all.

    Args:
        path: File to write; missing parent folders are created.
        content: The file's bytes.
        synchronise: Wait for the disk, so that the file survives a power cut. Only needed where the presence of this
            file means that others are complete.

    Raises:
        StorageError: if the disk is full or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary, temporary.open("wb") as file:
            file.write(content)
            if synchronise:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}. What was computed before is kept; "
            "free space or choose another folder with --out, and run the same command again."
        ) from error


def write_output(path: Path, content: bytes) -> None:
    """Write ``content`` where the user said: to a file, whole or not at all, or into a pipe or device.

    A link is followed. This is not for files whose names are not the user's own, such as those in a run folder from
    somebody else, where a link could lead anywhere.

    Raises:
        StorageError: if it cannot be written.
    """
    if path.is_dir() or path.is_file() or not path.exists():
        write_atomically(Path(os.path.realpath(path)), content)
        return
    try:
        with path.open("wb") as file:
            file.write(content)
    except OSError as error:
        raise StorageError(f"{path}: cannot be written: {error.strerror or error}.") from error


@functools.cache
def _remove_abandoned(folder: Path) -> None:
    """Remove the temporary folders of killed processes from ``folder``; once per process, since it lists the folder."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if _TEMPORARY.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _ABANDONED:
                shutil.rmtree(entry.path, ignore_errors=True)
