"""MoFA-Test, the photographs used in the paper."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

from faceinv.contracts import DatasetContext
from faceinv.data import hashed_splits
from faceinv.errors import InputError, UsageError, suggest
from faceinv.storage import open_regular
from faceinv_photographs.folder import Folder

IMAGES, PEOPLE = 84, 78

#: The number at the end of a file name with its separator: ``Ada Lovelace_02`` is Ada Lovelace.
_NUMBER = re.compile(r"[ _.\-]*\(?\d+\)?$")


class MofaTest(Folder):
    """84 photographs of 78 people in your own folder; they may not be redistributed.

    Identities come from the folder's only CSV file, with the columns ``file`` (path below the folder) and ``identity``,
    or from the file names without their last number. The data set must be used as a whole, as in the paper: other
    numbers of images or people are refused.

    Args:
        path: The folder.
        context: The run's limit must be at least 84.

    Raises:
        UsageError: no path is given, or the limit is too low.
        InputError: the folder does not hold MoFA-Test, or the CSV file does not match the images.
    """

    whole = True

    def __init__(self, path: Path | None, *, context: DatasetContext | None = None) -> None:
        if path is None:
            raise UsageError("The data set 'mofa-test' needs a path: mofa-test:PATH.")
        if context is not None and context.limit is not None and context.limit < IMAGES:
            raise UsageError(
                f"MoFA-Test has {IMAGES} images, but --limit {context.limit} would take a part: use --limit {IMAGES}, "
                f"or folder:{path} for a part."
            )
        super().__init__(path, context=context)
        tables = [self._root / name for name in self._tables()]
        if len(tables) > 1:
            raise InputError(f"'{path}' holds {len(tables)} CSV files; keep only the one with 'file' and 'identity'.")
        if tables:
            known = _read(tables[0])
            missing = next((name for name in self.ids if name not in known), None)
            if missing is not None:
                raise InputError(f"{tables[0]}: no identity for '{missing}'.{suggest(missing, known)}")
            self.identities = tuple(known[name] for name in self.ids)
        else:
            self.identities = tuple(_person(name) for name in self.ids)
        # Folder has split by file, before the identities were known.
        self.splits = hashed_splits(self.identities)
        people = len(set(self.identities))
        if (len(self.ids), people) != (IMAGES, PEOPLE):
            raise InputError(
                f"'{path}' holds {len(self.ids)} images of {people} people; MoFA-Test is {IMAGES} of {PEOPLE}. "
                f"Put the identities into a CSV file with the columns 'file' and 'identity', or use folder:{path}."
            )

    def _tables(self) -> list[str]:
        return sorted(file.name for file in self._root.glob("*.csv") if not file.name.startswith("."))


def _person(name: str) -> str:
    stem = Path(name).stem
    return _NUMBER.sub("", stem) or stem


def _read(table: Path) -> dict[str, str]:
    """Return the identity of each file."""
    try:
        with open_regular(table) as raw, io.TextIOWrapper(raw, "utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"file", "identity"} <= set(rows.fieldnames or ()):
                raise InputError(f"{table}:1: expected the columns 'file' and 'identity', got {rows.fieldnames}.")
            known: dict[str, str] = {}
            for row in rows:
                name, person = (row["file"] or "").strip(), (row["identity"] or "").strip()
                if not name or not person:
                    raise InputError(f"{table}:{rows.line_num}: an empty file or identity.")
                if known.setdefault(name, person) != person:
                    raise InputError(f"{table}:{rows.line_num}: '{name}' has two identities.")
            return known
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: cannot be read: {error}.") from None
