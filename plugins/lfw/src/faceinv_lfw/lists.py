"""LFW's lists of people and of pairs, in the formats of both views.

View 1 (development) has separate lists for training and for testing; View 2 (reporting) has ten folds in one file.
See "Labeled Faces in the Wild", UMass Amherst TR 07-49, section III.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceinv.errors import InputError
from faceinv.storage import open_regular


@dataclass(frozen=True)
class Person:
    """A person and the number of their photographs."""

    name: str
    photographs: int


@dataclass(frozen=True)
class Pair:
    """The ids of two photographs, and whether they show the same person."""

    first: str
    second: str
    same: bool


def photograph_id(name: str, number: int) -> str:
    """Return the id of a person's photograph, counted from 1."""
    return f"{name}/{name}_{number:04d}.jpg"


def read_people(path: Path) -> list[list[Person]]:
    """Read ``peopleDevTrain.txt`` or ``peopleDevTest.txt`` (one fold), or ``people.txt`` (ten).

    Raises:
        InputError: the file cannot be read, or a line is invalid; the message has its number.
    """
    lines = _Lines(path)
    (first,) = lines.numbers(1)
    # View 2 starts with the number of folds, and each fold with its length.
    lengths = iter([first]) if lines.next_width() != 1 else (lines.numbers(1)[0] for _ in range(first))
    folds = [[lines.person() for _ in range(length)] for length in lengths]
    lines.end()
    return folds


def read_pairs(path: Path) -> list[list[Pair]]:
    """Read ``pairsDevTrain.txt`` or ``pairsDevTest.txt`` (one fold), or ``pairs.txt`` (ten).

    Each fold has as many pairs of one person as of two people; those of one person come first.

    Raises:
        InputError: the file cannot be read, or a line is invalid; the message has its number.
    """
    lines = _Lines(path)
    head = lines.numbers(1, 2)
    folds, length = head if len(head) == 2 else (1, head[0])
    pairs = [
        [lines.matched() for _ in range(length)] + [lines.mismatched() for _ in range(length)] for _ in range(folds)
    ]
    lines.end()
    return pairs


class _Lines:
    """The lines of a file, split at white space; errors name the file and line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with open_regular(path) as file:
                text = file.read().decode()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"The list '{path}' cannot be read: {getattr(error, 'strerror', None) or error}."
            ) from None
        split = ((number, line.split()) for number, line in enumerate(text.splitlines(), 1))
        self._lines = [(number, cells) for number, cells in split if cells]
        self._position = 0

    def next_width(self) -> int:
        """Return the number of cells in the next line without consuming it; 0 at the end."""
        return len(self._lines[self._position][1]) if self._position < len(self._lines) else 0

    def numbers(self, *widths: int) -> list[int]:
        cells = self._cells(widths, "a number" if widths == (1,) else "one or two numbers")
        return [self._number(cell) for cell in cells]

    def person(self) -> Person:
        name, count = self._cells((2,), "a name and a number of photographs")
        return Person(name, self._number(count))

    def matched(self) -> Pair:
        name, i, j = self._cells((3,), "a name and two numbers")
        return Pair(photograph_id(name, self._number(i)), photograph_id(name, self._number(j)), True)

    def mismatched(self) -> Pair:
        one, i, two, j = self._cells((4,), "two names, each with a number")
        return Pair(photograph_id(one, self._number(i)), photograph_id(two, self._number(j)), False)

    def end(self) -> None:
        if self._position < len(self._lines):
            number, _ = self._lines[self._position]
            raise InputError(f"{self._path}:{number}: more lines than the file announces.")

    def _cells(self, widths: tuple[int, ...], expected: str) -> list[str]:
        if self._position >= len(self._lines):
            raise InputError(f"{self._path}: ends after {self._position} lines, expected {expected}.")
        self._number_of_line, cells = self._lines[self._position]
        self._position += 1
        if len(cells) not in widths:
            raise InputError(f"{self._path}:{self._number_of_line}: expected {expected}, got '{' '.join(cells)}'.")
        return cells

    def _number(self, cell: str) -> int:
        if not cell.isascii() or not cell.isdigit():
            raise InputError(f"{self._path}:{self._number_of_line}: '{cell}' is not a number.")
        return int(cell)
