"""A folder of photographs, with or without a labels file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext
from faceinv.data import SUFFIXES, check_disjoint, hashed_splits, match_images, read_image, read_labels
from faceinv.errors import InputError, UsageError


class Folder(Dataset):
    """All images below a folder, in the order of their paths, except hidden files and folders.

    An image's id is its path below the folder. If all images are in sub-folders, and there are several of them, as in
    LFW (``Name/Name_0001.jpg``), the sub-folder is the identity; otherwise identities are unknown. Training,
    validation and test splits are made by the hash of the identity, or of the id if identities are unknown.

    With a labels file, the data set contains the images that it lists, with its attributes and, if present, its
    identities and splits. Rows without an image and images without a row are skipped and reported.

    Args:
        path: The folder.
        context: Has the labels file, if there is one.

    Raises:
        UsageError: no path is given.
        InputError: the path is not a folder, cannot be read, or holds no image; or the labels file is invalid, or lists
            none of the images.
    """

    def __init__(self, path: Path | None, *, context: DatasetContext | None = None) -> None:
        if path is None:
            raise UsageError("The data set 'folder' needs a path: folder:PATH.")
        self._root = path.expanduser()
        if not self._root.is_dir():
            what = "is a file; name the folder it is in" if self._root.exists() else "does not exist"
            raise InputError(f"The folder of photographs '{path}' {what}.")
        self._paths = sorted(_images(self._root), key=lambda name: name.split(os.sep))
        if not self._paths:
            raise InputError(f"The folder '{path}' holds no images; the accepted suffixes are {', '.join(SUFFIXES)}.")
        self.ids = tuple(_printable(path) for path in self._paths)
        self.identities = _people(self.ids)
        labels = context.labels if context else None
        if labels is not None:
            self._label(labels)
        if self.splits is None:
            self.splits = hashed_splits(self.identities or self.ids)

    def fingerprint(self) -> str:
        """Return a hash of the paths and sizes of the files, which is much faster than one of their contents."""
        digest = hashlib.sha256()
        for name, path in zip(self.ids, self._paths, strict=True):
            digest.update(f"{name} {os.stat(os.path.join(self._root, path)).st_size}\n".encode())
        return digest.hexdigest()[:16]

    def load(self, index: int) -> Tensor:
        """Return photograph ``index`` as ``(3, H, W)`` in ``[0, 1]``.

        Raises:
            InputError: the image cannot be decoded.
        """
        return read_image(self._root / self._paths[index])

    def _label(self, path: Path) -> None:
        labels = read_labels(path.expanduser())
        match = match_images(labels, self.ids)
        kept = [index for index, row in enumerate(match.rows) if row >= 0]
        rows = [match.rows[index] for index in kept]
        if not kept:
            raise InputError(
                f"{path}: none of its images is in '{self._root}'; the first row names '{labels.images[0]}', "
                f"but the folder has '{self.ids[0]}'."
            )
        self.skipped = (
            *((labels.images[row], f"{path} lists it, but there is no such image.") for row in match.unmatched),
            *((name, f"{path} has no row for it.") for name, row in zip(self.ids, match.rows, strict=True) if row < 0),
        )
        people = None if self.identities is None else [self.identities[index] for index in kept]
        self._paths = [self._paths[index] for index in kept]
        self.ids = tuple(self.ids[index] for index in kept)
        self.annotations = {name: column[rows] for name, column in labels.annotations.items()}
        if labels.identities is not None:
            # An image without an identity counts as another person.
            named = [labels.identities[row] for row in rows]
            people = [person or name for person, name in zip(named, self.ids, strict=True)]
        self.identities = None if people is None else tuple(people)
        if labels.splits is not None:
            self.splits = tuple(labels.splits[row] for row in rows)
            check_disjoint(self.splits, self.identities, str(path))


def _people(ids: Sequence[str]) -> tuple[str, ...] | None:
    people = tuple(name.rpartition("/")[0] for name in ids)
    return people if "" not in people and len(set(people)) > 1 else None


def _images(root: Path) -> Iterator[str]:
    """Yield the paths of all images below ``root``, relative to it, as strings: there may be hundreds of thousands."""

    def refuse(error: OSError) -> None:
        raise InputError(f"The folder '{error.filename}' cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(root, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(parent, root)
        for name in files:
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield name if below == os.curdir else os.path.join(below, name)


def _printable(path: str) -> str:
    # File names need not be valid text, but ids go into JSON.
    return path.replace(os.sep, "/").encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
