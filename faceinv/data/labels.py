"""Labels files: CSV with a column ``image``, optionally ``identity`` and ``split``, and one column per attribute."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from faceinv.data.splits import SHARES
from faceinv.errors import InputError, suggest
from faceinv.storage.regular import open_regular

#: Cell values that mean "unknown".
UNKNOWN = frozenset({"", "na", "n/a", "nan", "none", "null", "?"})


@dataclass(frozen=True)
class Labels:
    """The rows of a labels file.

    Args:
        path: The file.
        images: The image of each row, as the file names it.
        annotations: A value for each row by attribute, NaN if unknown.
        identities: The person in each row's image, empty if unknown; ``None`` without such a column.
        splits: The split of each row; ``None`` without such a column.
    """

    path: Path
    images: tuple[str, ...]
    annotations: Mapping[str, Tensor]
    identities: tuple[str, ...] | None
    splits: tuple[str, ...] | None


@dataclass(frozen=True)
class Match:
    """The rows of a labels file that belong to images.

    Args:
        rows: The row of each image, or -1.
        unmatched: The rows without an image.
    """

    rows: tuple[int, ...]
    unmatched: tuple[int, ...]

    def take(self, column: Tensor) -> Tensor:
        """Return a column ``(rows,)`` in the order of the images, NaN for an image without a row."""
        index = torch.tensor(self.rows)
        return torch.where(index >= 0, column[index.clamp_min(0)], math.nan)


def read_labels(path: Path) -> Labels:
    """Read a labels file: UTF-8 with a header, separated by commas, semicolons or tabs.

    An attribute's cell is a number or one of :data:`UNKNOWN`. In a column of only -1 and 1, CelebA's no and yes,
    they become 0 and 1.

    Raises:
        InputError: the file cannot be read, has no column ``image``, or has an invalid cell; the message names the
            line and the column.
    """
    images, columns, places = _read(path)
    identities, splits = columns.pop("identity", None), columns.pop("split", None)
    if splits is not None:
        _check_splits(path, splits, places)
    return Labels(
        path,
        images,
        {name: _numbers(path, name, cells, places) for name, cells in columns.items()},
        None if identities is None else tuple(identities),
        None if splits is None else tuple(splits),
    )


def read_cells(path: Path) -> tuple[tuple[str, ...], dict[str, list[str]]]:
    """Return the images of a labels file and the cells of its other columns, which may hold any text.

    Raises:
        InputError: the file cannot be read or has no column ``image``.
    """
    images, columns, _ = _read(path)
    return images, columns


def _read(path: Path) -> tuple[tuple[str, ...], dict[str, list[str]], list[int]]:
    """Return the images, the other columns, and the line of each row."""
    try:
        with open_regular(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            return _parse(path, file)
    except FileNotFoundError:
        raise InputError(f"The labels file '{path}' does not exist.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not UTF-8 text; save the table as CSV in UTF-8.") from None
    except OSError as error:
        raise InputError(f"The labels file '{path}' cannot be read: {error.strerror or error}.") from None
    except csv.Error as error:
        raise InputError(f"{path}: not a CSV file: {error}.") from None


def match_images(labels: Labels, ids: Sequence[str]) -> Match:
    """Find the row of each image by its id (a path below the folder), or by its file name if that is unique."""
    rows = rows_of_images(labels.images, ids)
    used = set(rows)
    return Match(rows, tuple(row for row in range(len(labels.images)) if row not in used))


def rows_of_images(images: Sequence[str], ids: Sequence[str]) -> tuple[int, ...]:
    """Return the row of each id among the ``images`` of a file, or -1; see :func:`match_images`."""
    place = {image: row for row, image in enumerate(images)}
    names: dict[str, int] = {}
    for name in ids:
        base = PurePosixPath(name).name
        names[base] = names.get(base, 0) + 1

    def row_of(name: str) -> int:
        found = place.get(name, -1)
        base = PurePosixPath(name).name
        return place.get(base, -1) if found < 0 and names[base] == 1 else found

    return tuple(row_of(name) for name in ids)


def has_images(path: Path) -> bool:
    """Return whether a file looks like a labels file: its header has a column ``image``."""
    try:
        with open_regular(path) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            head = file.readline()
    except (OSError, UnicodeDecodeError):
        return False
    return "image" in [name.strip() for name in next(csv.reader([head], delimiter=_separator(head)), [])]


def _parse(path: Path, lines: Iterable[str]) -> tuple[tuple[str, ...], dict[str, list[str]], list[int]]:
    lines = iter(lines)
    head = next(lines, "")
    separator = _separator(head)
    names = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    _check_header(path, names)
    columns: dict[str, list[str]] = {name: [] for name in names}
    places: list[int] = []
    for place, cells in _rows(lines, separator):
        if len(cells) != len(names):
            raise InputError(f"{path}:{place}: {len(cells)} cells, but the header has {len(names)}.")
        places.append(place)
        for name, cell in zip(names, cells, strict=True):
            columns[name].append(cell.strip())
    if not places:
        raise InputError(f"{path}: no rows below the header.")
    images = tuple(cell.replace("\\", "/").removeprefix("./") for cell in columns.pop("image"))
    _check_images(path, images, places)
    return images, columns, places


def _separator(head: str) -> str:
    return max(",;\t", key=head.count)


def _rows(lines: Iterator[str], separator: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the number of each row's last line, and its cells; empty lines are skipped."""
    reader = csv.reader(lines, delimiter=separator)
    for cells in reader:
        if cells:
            yield reader.line_num + 1, cells


def _check_header(path: Path, names: Sequence[str]) -> None:
    if "image" not in names:
        found = ", ".join(name for name in names if name) or "nothing"
        raise InputError(f"{path}:1: no column 'image'.{suggest('image', names)} The header has {found}.")
    for name in names:
        if not name:
            raise InputError(f"{path}:1: column {names.index(name) + 1} has no name.")
        if names.count(name) > 1:
            raise InputError(f"{path}:1: the column '{name}' appears twice.")


def _check_images(path: Path, images: Sequence[str], places: Sequence[int]) -> None:
    seen: dict[str, int] = {}
    for image, place in zip(images, places, strict=True):
        if not image:
            raise InputError(f"{path}:{place}: the cell 'image' is empty.")
        if seen.setdefault(image, place) != place:
            raise InputError(f"{path}:{place}: '{image}' is already named in line {seen[image]}.")


def _check_splits(path: Path, splits: Sequence[str], places: Sequence[int]) -> None:
    for split, place in zip(splits, places, strict=True):
        if split not in SHARES:
            raise InputError(f"{path}:{place}: split '{split}'.{suggest(split, SHARES)} Allowed: {', '.join(SHARES)}.")


def _numbers(path: Path, name: str, cells: Sequence[str], places: Sequence[int]) -> Tensor:
    values = []
    for cell, place in zip(cells, places, strict=True):
        if cell.lower() in UNKNOWN:
            values.append(math.nan)
            continue
        try:
            value = float(cell)
        except ValueError:
            value = math.inf
        if math.isinf(value):
            raise InputError(
                f"{path}:{place}: {name} is '{cell}'; an attribute must be a number (0 and 1 for no and yes), "
                "or empty if unknown."
            )
        values.append(value)
    column = torch.tensor(values, dtype=torch.float32)
    known = set(column[~column.isnan()].tolist())
    return (column + 1) / 2 if known == {-1.0, 1.0} else column
