"""A folder of photographs, with or without a labels file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext
from faceinv.data import (
    Labels,
    check_disjoint,
    content_fingerprint,
    hashed_splits,
    list_images,
    match_images,
    printable,
    read_image,
    read_labels,
)
from faceinv.errors import InputError, UsageError


class Folder(Dataset):
    """All images below a folder, in the order of their paths, except hidden files and folders.

    Images are told by their suffix, or by their content if they have none. Links are followed. What is left out is
    reported, such as dead links and the folders of faceinv's own runs.

    An image's id is its path below the folder. If all images are in sub-folders, and there are several of them, as in
    LFW (``Name/Name_0001.jpg``), the sub-folder is the identity; otherwise identities are unknown. Training,
    validation and test splits are made by the hash of the identity, or of the id if identities are unknown.

    With a labels file, the data set contains the files that it lists, with its attributes and, if present, its
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
        labels = read_labels(context.labels.expanduser()) if context and context.labels else None
        listing = list_images(self._root)
        self.skipped = tuple((printable(below), reason) for below, reason in listing.skipped)
        if labels is None:
            paths = listing.images
            self.skipped += tuple((printable(below), reason) for below, reason in listing.remark(self._tables()))
        else:
            wanted = set(labels.images)
            # A file that the labels name is an image, whatever its suffix.
            named = [file for file in listing.others if {printable(file), os.path.basename(file)} & wanted]
            paths = sorted([*listing.images, *named], key=_parts)
        self._paths: dict[str, str] = {}
        for below in paths:
            if self._paths.setdefault(printable(below), below) != below:
                self.skipped += ((printable(below), "Another file has this id: bytes that are not text are escaped."),)
        self.ids = tuple(self._paths)
        if not self.ids:
            why = "".join(f" {name}: {reason}" for name, reason in self.skipped[:1])
            raise InputError(f"The folder '{path}' holds no images.{why}")
        self.identities = _people(self.ids)
        if labels is not None:
            self._label(labels)
        if self.splits is None:
            self.splits = hashed_splits(self.identities or self.ids)

    def fingerprint(self) -> str:
        """Return a hash of the ids and of the contents of the files."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return content_fingerprint(self.ids, [self._root / self._paths[name] for name in self.ids])

    def load(self, index: int) -> Tensor:
        """Return photograph ``index`` as ``(3, H, W)`` in ``[0, 1]``.

        Raises:
            InputError: the image cannot be decoded.
        """
        return read_image(self._root / self._paths[self.ids[index]])

    def _tables(self) -> list[str]:
        """Return the paths below the folder of the tables that belong to the data set."""
        return []

    def _label(self, labels: Labels) -> None:
        path = labels.path
        match = match_images(labels, self.ids)
        kept = [index for index, row in enumerate(match.rows) if row >= 0]
        rows = [match.rows[index] for index in kept]
        if not kept:
            raise InputError(
                f"{path}: none of its images is in '{self._root}'; the first row names '{labels.images[0]}', "
                f"but the folder has '{self.ids[0]}'."
            )
        self.skipped = (
            *self.skipped,
            *((labels.images[row], f"{path} lists it, but there is no such image.") for row in match.unmatched),
            *((name, f"{path} has no row for it.") for name, row in zip(self.ids, match.rows, strict=True) if row < 0),
        )
        people = None if self.identities is None else [self.identities[index] for index in kept]
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


def _parts(path: str) -> list[str]:
    return path.split(os.sep)
