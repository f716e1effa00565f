"""The images below a folder, and what there is beside them."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from faceinv.data.images import image_suffixes, is_image
from faceinv.errors import InputError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.schema import utf8

#: Names of a run's records and of its targets, without their suffix.
_RUN_FILE = re.compile(r"[0-9a-f]{16}|inverted")
#: The folders of a run that hold pictures.
_RUN_FOLDERS = ("cells", "targets")
#: Marks a folder that holds nothing but pictures that faceinv made.
MADE = ".made-by-faceinv"
_OWN = "Pictures that faceinv made, not photographs."
#: What ends the name of a picture that ``invert`` writes beside its result.
_BESIDE = ("-start.png", "-target.png")


@dataclass(frozen=True)
class Listing:
    """The files below a folder, except hidden ones, as paths relative to it in the order of their parts.

    Args:
        images: Files that hold an image by their suffix, or by their first bytes if they have no suffix.
        others: All other files.
        skipped: (path, reason) of dead links, of pipes and devices, and of folders that are left out.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def remark(self, used: Iterable[str] = ()) -> list[tuple[str, str]]:
        """Return one (path, reason) that stands for the other files that are neither text nor ``used``."""
        known = set(used)
        left = [name for name in self.others if name not in known and not _is_text(name)]
        if not left:
            return []
        if len(left) == 1:
            return [(left[0], "Its suffix is not that of an image that can be read.")]
        return [(left[0], f"{len(left)} files such as this one do not have the suffix of an image that can be read.")]


def list_images(root: Path) -> Listing:
    """List the files below ``root``.

    Links are followed. Each folder is entered once: under its own path if it has one below ``root``. Folders that
    hold a run or samples of faceinv are left out, and so are the pictures of a run if ``root`` itself holds one.

    Raises:
        InputError: a folder cannot be read.
    """
    listing = Listing()
    # A link to one of these would bring in the tree again, or all that lies around it.
    entered = {_identity(parent) for parent in root.resolve().parents}
    folders: list[str] = [""]
    links: list[str] = []
    while folders or links:
        below = folders.pop() if folders else links.pop()
        try:
            identity = _identity(root / below)
            if identity in entered:
                listing.skipped.append((below, "A link to a folder that is read already, or that holds this one."))
                continue
            entered.add(identity)
            with os.scandir(root / below) as found:
                entries = sorted(found, key=lambda entry: entry.name)
            names = {entry.name for entry in entries}
            holds_run = _holds_run(root / below, names)
        except OSError as error:
            raise InputError(f"The folder '{root / below}' cannot be read: {error.strerror or error}.") from None
        if below and (holds_run or MADE in names):
            listing.skipped.append((below, _OWN))
            continue
        if holds_run:
            entries = _without_run(listing, entries)
        for entry in entries:
            if entry.name.startswith("."):
                continue
            path = os.path.join(below, entry.name)
            kind = _kind(entry)
            if kind == "folder":
                (links if entry.is_symlink() else folders).append(path)
            elif kind != "file":
                listing.skipped.append((path, kind))
            elif _looks_like_image(entry):
                listing.images.append(path)
            else:
                listing.others.append(path)
        links.sort(reverse=True)
    listing.images.sort(key=_parts)
    listing.others.sort(key=_parts)
    listing.skipped.sort(key=lambda item: _parts(item[0]))
    return listing


def mark_made(folder: Path) -> None:
    """Mark a new or empty folder as one of pictures that faceinv makes; one that holds other files stays as it is.

    Raises:
        StorageError: the folder cannot be written.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        write_atomically(folder / MADE, b"Data sets leave this folder out, unless it is the data set.\n")


def printable(path: str) -> str:
    """Return a path as text with slashes: file names need not be valid text, but ids go into JSON."""
    return utf8(path.replace(os.sep, "/"))


def _parts(path: str) -> list[str]:
    return path.split(os.sep)


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _kind(entry: os.DirEntry[str]) -> str:
    """Return ``"file"``, ``"folder"``, or why the entry is neither."""
    try:
        if entry.is_file():
            return "file"
        if entry.is_dir():
            return "folder"
    except OSError as error:
        return f"It cannot be read: {error.strerror or error}."
    if entry.is_symlink():
        return "A link to a file that does not exist, or that is a pipe, socket or device."
    return "A pipe, socket or device, not a file."


def _looks_like_image(entry: os.DirEntry[str]) -> bool:
    suffix = os.path.splitext(entry.name)[1].lower()
    return suffix in image_suffixes() or (not suffix and is_image(entry.path))


def _is_text(name: str) -> bool:
    return (mimetypes.guess_type(name)[0] or "").startswith("text/")


def _holds_run(folder: Path, names: set[str]) -> bool:
    return any(
        _RUN_FILE.fullmatch(os.path.splitext(name)[0])
        for part in _RUN_FOLDERS
        if part in names and os.path.isdir(folder / part)
        for name in os.listdir(folder / part)
    )


def _without_run(listing: Listing, entries: list[os.DirEntry[str]]) -> list[os.DirEntry[str]]:
    """Return the entries of a run folder that are not the run's, and list the run's as skipped."""
    stems = {entry.name.removesuffix(_BESIDE[0]) for entry in entries if entry.name.endswith(_BESIDE[0])}
    own = {*_RUN_FOLDERS, "contact.png"} | {stem + end for stem in stems for end in (".png", *_BESIDE)}
    listing.skipped.extend((entry.name, _OWN) for entry in entries if entry.name in own)
    return [entry for entry in entries if entry.name not in own]
