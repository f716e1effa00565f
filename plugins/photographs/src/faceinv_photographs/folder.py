"""A folder of photographs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext
from faceinv.errors import InputError, UsageError
from faceinv.images import SUFFIXES, read_image


class Folder(Dataset):
    """All images below a folder, in the order of their paths; hidden files and folders are left out.

    An image's id is its path below the folder. Where every image lies in a sub-folder, and there are
    several, as in LFW (``Name/Name_0001.jpg``), the folder it lies in says who it is; otherwise
    identities are not known.

    Args:
        path: The folder.
        context: Not used: photographs are the same for every run.

    Raises:
        UsageError: no path is given.
        InputError: the path is no folder, cannot be read, or holds no image.
    """

    def __init__(self, path: Path | None, *, context: DatasetContext | None = None) -> None:
        if path is None:
            raise UsageError("The data set 'folder' needs a path: folder:PATH.")
        self._root = path.expanduser()
        if not self._root.is_dir():
            what = "is a file; name the folder it lies in" if self._root.exists() else "does not exist"
            raise InputError(f"The folder of photographs '{path}' {what}.")
        self._paths = sorted(_images(self._root), key=lambda path: path.parts)
        if not self._paths:
            raise InputError(f"The folder '{path}' holds no image; the suffixes looked for are {', '.join(SUFFIXES)}.")
        self.ids = tuple(_printable(path) for path in self._paths)
        people = tuple(_printable(path.parent) for path in self._paths)
        if "." not in people and len(set(people)) > 1:
            self.identities = people

    def fingerprint(self) -> str:
        """Return a hash of the paths and sizes of the files; reading them all would cost more than it tells."""
        sizes = ((self._root / path).stat().st_size for path in self._paths)
        listing = [f"{name} {size}" for name, size in zip(self.ids, sizes, strict=True)]
        return hashlib.sha256("\n".join(listing).encode()).hexdigest()[:16]

    def load(self, index: int) -> Tensor:
        """Return photograph ``index`` as ``(3, H, W)`` in ``[0, 1]``.

        Raises:
            InputError: it cannot be decoded.
        """
        return read_image(self._root / self._paths[index])


def _images(root: Path) -> Iterator[Path]:
    """Yield the paths of all images below ``root``, relative to it."""

    def refuse(error: OSError) -> None:
        raise InputError(f"The folder '{error.filename}' cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield (Path(parent) / name).relative_to(root)


def _printable(path: Path) -> str:
    # A name need not be valid text; an id goes into JSON.
    return path.as_posix().encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
