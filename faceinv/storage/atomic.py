"""Write a file whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from faceinv.errors import StorageError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; it replaces ``path`` if the block succeeds, and is removed otherwise.

    Raises:
        OSError: if the folder is missing or cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}")
    temporary.touch()
    try:
        mode = temporary.stat().st_mode
        yield temporary
        # Some writers, such as safetensors, make files that only their owner can read; these are meant to be shared.
        temporary.chmod(mode)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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
