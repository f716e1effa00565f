"""CelebA's text files and images in a flat or in the official layout."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faceinv.data import file_state
from faceinv.errors import InputError
from faceinv.storage import open_regular

FloatArray = npt.NDArray[np.float64]

#: The folder of each file in the official layout.
FOLDERS = {
    "list_attr_celeba.txt": "Anno",
    "identity_CelebA.txt": "Anno",
    "list_eval_partition.txt": "Eval",
    "list_landmarks_align_celeba.txt": "Anno",
    "list_landmarks_celeba.txt": "Anno",
    "img_align_celeba": "Img",
    "img_align_celeba.zip": "Img",
    "img_celeba": "Img",
    "img_celeba.zip": "Img",
}

#: Columns of the lists of landmarks: x and y of the five points.
POINTS = tuple(
    f"{point}_{axis}" for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth") for axis in "xy"
)

#: The parts that the numbers in ``list_eval_partition.txt`` stand for.
PARTS = ("train", "val", "test")

#: The most bytes that are read of one image, 64 MiB: a small ZIP file may unpack to more than there is memory.
LARGEST = 1 << 26


def find(root: Path, name: str) -> Path | None:
    """Return the path of a file or folder of CelebA in the flat or the official layout, or ``None``."""
    return next((path for path in (root / name, root / FOLDERS[name] / name) if path.exists()), None)


def required(root: Path, name: str, what: str) -> Path:
    """Return the path of a file of CelebA.

    Raises:
        InputError: the file is missing; the message names it in both layouts.
    """
    path = find(root, name)
    if path is None:
        raise InputError(f"{root} lacks CelebA's {what}: expected '{name}' or '{FOLDERS[name]}/{name}'.")
    return path


def read_attributes(path: Path) -> tuple[list[str], dict[str, Tensor]]:
    """Read ``list_attr_celeba.txt``: the number of images, the attribute names, and a line of -1 and 1 per image.

    Returns:
        The images, and the column ``(N,)`` of 0 and 1 of each attribute, by its name in lower case.

    Raises:
        InputError: a line is invalid; the message has its number.
    """
    lines = _lines(path)
    announced = _count(path, next(lines, (1, [])))
    number, head = next(lines, (2, []))
    names = [name.lower() for name in head]
    if not names or len(set(names)) < len(names):
        raise InputError(f"{path}:{number}: expected the names of the attributes, each once.")
    images, rows = [], []
    for number, cells in lines:
        if len(cells) != len(names) + 1:
            raise InputError(f"{path}:{number}: expected {len(names) + 1} cells, got {len(cells)}.")
        images.append(cells[0])
        rows.append(b"".join(_SIGNS.get(cell, b"?") for cell in cells[1:]))
        if b"?" in rows[-1]:
            raise InputError(f"{path}:{number}: an attribute must be -1 or 1, got '{cells[1 + rows[-1].index(b'?')]}'.")
    if len(images) != announced:
        raise InputError(f"{path}: announces {announced} images but has {len(images)}.")
    if len(set(images)) < len(images):
        raise InputError(f"{path}: an image appears twice.")
    table = np.frombuffer(b"".join(rows), np.uint8).reshape(len(rows), len(names)) - ord("0")
    return images, {name: torch.from_numpy(table[:, k].astype(np.float32)) for k, name in enumerate(names)}


def read_column(path: Path, what: str) -> dict[str, str]:
    """Read ``identity_CelebA.txt`` or ``list_eval_partition.txt``: an image and a value per line.

    Raises:
        InputError: a line is invalid; the message has its number.
    """
    column = {}
    for number, cells in _lines(path):
        if len(cells) != 2:
            raise InputError(f"{path}:{number}: expected an image and its {what}, got '{' '.join(cells)}'.")
        column[cells[0]] = cells[1]
    return column


def read_landmarks(path: Path) -> dict[str, FloatArray]:
    """Read ``list_landmarks_align_celeba.txt`` or ``list_landmarks_celeba.txt``.

    Returns:
        The five points ``(5, 2)`` of each image, in pixels: eyes, nose tip, mouth corners, left before right.

    Raises:
        InputError: a line is invalid; the message has its number.
    """
    lines = _lines(path)
    announced = _count(path, next(lines, (1, [])))
    number, head = next(lines, (2, []))
    if tuple(head) != POINTS:
        raise InputError(f"{path}:{number}: expected the names of the coordinates, {POINTS[0]} to {POINTS[-1]}.")
    found = {}
    for number, cells in lines:
        try:
            found[cells[0]] = np.array(list(map(int, cells[1:])), np.float64).reshape(5, 2)
        except ValueError:
            raise InputError(f"{path}:{number}: expected an image and ten whole numbers.") from None
    if len(found) != announced:
        raise InputError(f"{path}: announces {announced} images but has {len(found)}.")
    return found


class Archive:
    """The images in a folder or ZIP file, by file name.

    Args:
        path: The folder or file.

    Raises:
        InputError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                # Unpacking the archive may have created a second folder of the same name.
                nested = path / path.name
                self.path = nested if nested.is_dir() else path
                self.sizes = {entry.name: entry.stat().st_size for entry in _scan(self.path)}
            else:
                open_regular(path).close()
                self._zip = zipfile.ZipFile(path)
                members = [member for member in self._zip.infolist() if not member.is_dir()]
                self._members = {member.filename.rpartition("/")[2]: member for member in members}
                self.sizes = {name: member.file_size for name, member in self._members.items()}
        except Exception as error:  # what zipfile raises for damaged archives has no common class
            raise InputError(
                f"{path}: the images cannot be read: {getattr(error, 'strerror', None) or error}."
            ) from None

    def read(self, name: str) -> bytes:
        """Return the bytes of an image; thread-safe.

        Raises:
            InputError: the image cannot be read, or is larger than :data:`LARGEST`.
        """
        try:
            if self._zip is None:
                with open_regular(self.path / name) as file:
                    content = file.read(LARGEST + 1)
            else:
                with self._zip.open(self._members[name]) as member:
                    content = member.read(LARGEST + 1)
        except Exception as error:  # the same
            raise InputError(f"{self.path}/{name}: the image cannot be read: {error}.") from None
        if len(content) > LARGEST:
            raise InputError(
                f"{self.path}/{name}: it has more than {LARGEST >> 20} MiB; an image of CelebA has some kilobytes."
            )
        return content

    def state(self, name: str) -> tuple[int, ...] | None:
        """Return what changes when an image does, for :func:`faceinv.data.digests`."""
        if self._zip is None:
            return file_state(self.path / name)
        member = self._members[name]
        return (*self._archive_state, member.CRC, member.file_size, member.header_offset)

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of an image.

        Raises:
            InputError: the image cannot be read.
        """
        return hashlib.sha256(self.read(name)).hexdigest()

    @cached_property
    def _archive_state(self) -> tuple[int, ...]:
        return file_state(self.path) or (0, 0, 0)


_SIGNS = {"-1": b"0", "1": b"1"}


def _scan(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if entry.is_file() and not entry.name.startswith("."))


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the number and the cells of each non-empty line."""
    try:
        with open_regular(path) as raw, io.TextIOWrapper(raw, "utf-8") as file:
            for number, line in enumerate(file, 1):
                cells = line.split()
                if cells:
                    yield number, cells
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}.") from None


def _count(path: Path, line: tuple[int, list[str]]) -> int:
    number, cells = line
    if len(cells) != 1 or not (cells[0].isascii() and cells[0].isdigit()):
        raise InputError(f"{path}:{number}: expected the number of images, got '{' '.join(cells)}'.")
    return int(cells[0])
