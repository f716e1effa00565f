"""Write a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from faceinv.errors import StorageError


def write_atomically(path: Path, content: bytes, *, synchronise: bool = True) -> None:
    """Write a file whole or not at all.

    Args:
        path: Where.
        content: What.
        synchronise: Whether to wait for the disk, so that it survives a power cut; needed only where the file's
            being there means that others are.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if synchronise:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp keeps files to their owner; results are meant to be shared as others are.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
    except OSError as error:
        raise StorageError(
            f"{path}: cannot be written: {error.strerror or error}. What was computed before is kept; "
            "free space or choose another folder with --out, and run the same command again."
        ) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
