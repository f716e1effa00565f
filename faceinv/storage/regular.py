"""Opening of files that others name."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; a pipe, socket or device, which could block or never end, is refused at once.

    Raises:
        OSError: if ``path`` is missing, cannot be read, or is not a regular file.
    """
    # Without O_NONBLOCK, opening a pipe waits for a writer. Windows knows neither flag, and opens text by default.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except ValueError as error:  # a null byte in the name
        raise OSError(errno.EINVAL, str(error), str(path)) from None
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "it is a pipe, socket or device, not a file", str(path))


def open_inside(folder: Path, path: Path) -> BinaryIO:
    """Open a regular file in ``folder``, which may come from somebody else: a link, which leads anywhere, is refused.

    Args:
        folder: The folder; it may itself be a link.
        path: ``folder`` followed by the names below it.

    Raises:
        OSError: as for :func:`open_regular`, or if ``path`` or a folder between both is a link.
    """
    if is_linked(folder, path):
        raise OSError(errno.ELOOP, "it is, or lies behind, a link", str(path))
    return open_regular(path)


def is_linked(folder: Path, path: Path) -> bool:
    """Return whether ``path``, or a folder between it and ``folder``, is a link."""
    below = path.relative_to(folder)
    return any((folder / part).is_symlink() for part in (below, *below.parents[:-1]))
