"""Runs that were made apart, joined into one folder, if they could have been made by one command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceinv.errors import InputError, StorageError
from faceinv.storage.parts import CELL, Parts
from faceinv.storage.run_folder import SCHEMA, RunFolder

#: What one command has one value of; everything else may be a grid, or follows from it.
_ONE_VALUE = (
    "compile",
    "limit",
    "per_person",
    "min_photographs",
    "skip",
    "detector",
    "probes",
    "pairs",
    "metrics",
    "recognition",
)
#: Hashes that are of one cell's data set, not of a file with a name.
_OF_A_CELL = ("data set", "labels", "recognition data set")
#: Facts that parts of one cell share.
_OF_PARTS = ("targets", "batch_size", "n")


@dataclass
class Merged:
    """What a merge found.

    Args:
        finished: Cells whose record is there.
        failed: Cells that failed everywhere.
        unfinished: Targets of each other cell that nobody has computed, by name; 0 where all are there.
    """

    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    folder: RunFolder
    facts: Mapping[str, Any]
    record: bool

    @property
    def id(self) -> str:
        return str(self.facts["id"])

    @property
    def ok(self) -> bool:
        return self.record and self.facts.get("status") == "ok"


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Copy the cells of ``folders`` into ``out``, and what was computed of unfinished ones.

    Everything is compared before anything is written. Folders that hold the same cell have to hold the same numbers.

    Args:
        folders: Run folders.
        out: A run folder; what is in it takes part.

    Raises:
        InputError: a folder is no run, or they do not match: schema, code, weights, config or numbers.
        StorageError: ``out`` cannot be written.
    """
    sources = [*folders, *([out] if (out / "cells").is_dir() and out not in folders else [])]
    found = [item for folder in sources for item in _cells(folder)]
    for item in found[1:]:
        _check(found[0], item)
    cells: dict[str, list[_Found]] = {}
    for item in found:
        cells.setdefault(item.id, []).append(item)
    for items in cells.values():
        _check_cell(items)
    target, merged = RunFolder(out), Merged()
    try:
        for cell_id, items in cells.items():
            _join(cell_id, items, target, merged)
        for folder in sources:
            _copy_tree(folder / "targets", out / "targets")
    except OSError as error:
        raise StorageError(f"{out}: cannot be written: {error.strerror or error}.") from error
    return merged


def _cells(path: Path) -> Iterator[_Found]:
    if not (path / "cells").is_dir():
        raise InputError(f"{path} is no run: it has no folder 'cells'.")
    folder = RunFolder(path)
    files = sorted((path / "cells").glob("*.json"))
    done = {file.stem for file in files}
    begun = [file for file in sorted((path / "cells").glob(f"*/parts/{CELL}")) if file.parts[-3] not in done]
    for file in [*files, *begun]:
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
            schema = facts["schema"]
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"{file} cannot be read as a record; remove it, or run its command again.") from None
        if schema != SCHEMA:
            raise InputError(f"{file} has schema {schema}, and this version writes {SCHEMA}; run its command again.")
        if facts.get("kind") != "invert":
            yield _Found(folder, facts, file in files)


def _check(first: _Found, item: _Found) -> None:
    """Raise unless one command could have made both cells."""
    where = f"{first.folder.path} and {item.folder.path} do not match"
    for kind in ("code", "weights"):
        ours, theirs = first.facts[kind], item.facts[kind]
        for name in sorted(ours.keys() & theirs.keys() - set(_OF_A_CELL)):
            if ours[name] != theirs[name]:
                raise InputError(
                    f"{where}: {kind} '{name}' is {ours[name][:12]} in the one and {theirs[name][:12]} in the other; "
                    "compute both with the same."
                )
    for key in _ONE_VALUE:
        # A key that older records lack is as they all had it.
        ours, theirs = first.facts["config"].get(key), item.facts["config"].get(key)
        if ours != theirs:
            raise InputError(f"{where}: config '{key}' is {ours!r} in the one and {theirs!r} in the other.")


def _check_cell(items: Sequence[_Found]) -> None:
    """Raise unless several folders' findings of one cell agree."""
    done = [item for item in items if item.ok]
    for other in done[1:]:
        differing = [key for key in ("targets", "metrics", "trajectory") if done[0].facts[key] != other.facts[key]]
        if differing:
            raise InputError(
                f"{done[0].folder.path} and {other.folder.path} do not match: cell {other.id} has other "
                f"'{differing[0]}'; was it computed on other hardware, or with another --batch-size?"
            )
    begun = [item for item in items if not item.record]
    for other in begun[1:]:
        for key in _OF_PARTS:
            if begun[0].facts[key] != other.facts[key]:
                raise InputError(
                    f"{begun[0].folder.path} and {other.folder.path} do not match: '{key}' of cell {other.id} is "
                    f"{begun[0].facts[key]} in the one and {other.facts[key]} in the other."
                )


def _join(cell_id: str, items: Sequence[_Found], target: RunFolder, merged: Merged) -> None:
    done = next((item for item in items if item.ok), None)
    if done:
        _copy_tree(done.folder.images_folder(cell_id), target.images_folder(cell_id))
        Parts(target, cell_id).remove()
        for path in (done.folder.rows_path(cell_id), done.folder.record_path(cell_id)):
            _copy(path, target.path / "cells" / path.name)
        merged.finished.append(cell_id)
        return
    begun = [item for item in items if not item.record]
    for item in begun:
        _copy_tree(item.folder.images_folder(cell_id), target.images_folder(cell_id))
    if begun:
        n, rows = begun[0].facts["n"], {row for part in Parts(target, cell_id) for row in part}
        merged.unfinished[cell_id] = n - len(rows)
    else:
        _copy(items[0].folder.record_path(cell_id), target.record_path(cell_id))
        merged.failed.append(cell_id)


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        if path.is_file() and path.suffix != ".lock":
            _copy(path, target / path.relative_to(source))


def _copy(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; onto itself nothing is done."""
    if source.absolute() == target.absolute():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)
