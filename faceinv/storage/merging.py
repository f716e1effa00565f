"""Join runs that were computed separately, provided that one command could have made them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from faceinv.errors import InputError, StorageError
from faceinv.storage.atomic import replacing
from faceinv.storage.parts import CELL, Parts
from faceinv.storage.records import SCHEMA, BegunCell, FailedCell, FinishedCell, read_begun, read_cell
from faceinv.storage.run_folder import RunFolder

#: Keys of the config that have one value per command; all others may form a grid, or follow from it.
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
#: Hashes that belong to the data set of a cell, not to a file with a name.
_OF_A_CELL = ("data set", "labels", "recognition data set")


@dataclass
class Merged:
    """The result of a merge.

    Args:
        finished: Ids of the cells with a finished record.
        failed: Ids of the cells that failed in every run.
        unfinished: For every other cell, the number of targets that no run has computed; 0 if all are computed.
    """

    finished: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unfinished: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Found:
    """A cell, finished, failed or begun, in one of the folders."""

    folder: RunFolder
    record: FinishedCell | FailedCell | BegunCell


def merge(folders: Sequence[Path], out: Path) -> Merged:
    """Copy the cells of ``folders`` into ``out``, with the parts of unfinished ones.

    Everything is compared before anything is written. Folders that hold the same cell must hold the same numbers.

    Args:
        folders: Run folders.
        out: A run folder. Cells that it holds already take part.

    Raises:
        InputError: if a folder is not a run, holds links or damaged files, or if schema, code, weights, config or
            numbers do not match.
        StorageError: if ``out`` cannot be written.
    """
    sources = [*folders, *([out] if (out / RunFolder.FOLDER).is_dir() and out not in folders else [])]
    found = [item for folder in sources for item in _cells(folder)]
    for item in found[1:]:
        _check(found[0], item)
    cells: dict[str, list[_Found]] = {}
    for item in found:
        cells.setdefault(item.record.id, []).append(item)
    for items in cells.values():
        _check_cell(items)
    target, merged = RunFolder(out), Merged()
    try:
        for cell_id, items in cells.items():
            with Parts(target, cell_id).locked():
                _join(cell_id, items, target, merged)
        for folder in sources:
            _copy_tree(folder / "targets", out / "targets")
    except OSError as error:
        raise StorageError(f"{out}: cannot be written: {error.strerror or error}.") from error
    return merged


def _cells(path: Path) -> Iterator[_Found]:
    folder = RunFolder(path)
    if not folder.records.is_dir():
        raise InputError(f"{path} is not a run: it has no folder '{RunFolder.FOLDER}'.")
    _check_plain(path)
    files = sorted(folder.records.glob("*.json"))
    done = {file.stem for file in files}
    begun = [file for file in sorted(folder.records.glob(f"*/parts/{CELL}")) if file.parts[-3] not in done]
    for file in [*files, *begun]:
        try:
            record = read_begun(file) if file in begun else read_cell(file)
        except ValueError as error:
            raise InputError(f"{file} is not a record: {error}. Remove it, or run its command again.") from None
        if record.schema_number != SCHEMA:
            raise InputError(
                f"{file} has schema {record.schema_number}, and this version writes {SCHEMA}. Run its command again."
            )
        if record.kind != "invert":
            yield _Found(folder, record)


def _check_plain(run: Path) -> None:
    """Raise unless the folders that are copied hold files only: a link in them could lead anywhere."""
    every = (path for name in (RunFolder.FOLDER, "targets") for path in (run / name, *(run / name).rglob("*")))
    for path in every:
        if path.is_symlink() or (path.exists() and not (path.is_file() or path.is_dir())):
            raise InputError(f"{path} is a link, pipe or device; runs to be merged hold files only. Remove it.")


def _check(first: _Found, item: _Found) -> None:
    """Raise unless one command could have made both cells."""
    where = f"{first.folder.path} and {item.folder.path} do not match"
    for kind, ours, theirs in (
        ("code", first.record.code, item.record.code),
        ("weights", first.record.weights, item.record.weights),
    ):
        for name in sorted(ours.keys() & theirs.keys() - set(_OF_A_CELL)):
            if ours[name] != theirs[name]:
                raise InputError(
                    f"{where}: {kind} '{name}' is {ours[name][:12]} in one and {theirs[name][:12]} in the other. "
                    "Compute both with the same."
                )
    for key in _ONE_VALUE:
        one, other = getattr(first.record.config, key), getattr(item.record.config, key)
        if one != other:
            raise InputError(f"{where}: config '{key}' is {one!r} in one and {other!r} in the other.")


def _check_cell(items: Sequence[_Found]) -> None:
    """Raise unless all folders agree about one cell, and a finished one is whole in one of them."""
    changed = [_changed(item) for item in items if isinstance(item.record, FinishedCell)]
    if changed and all(changed):
        raise InputError(
            f"{changed[0]} is missing or not as it was written. Run the command of its run again, which repairs it."
        )
    done = [(item.folder.path, item.record) for item in items if isinstance(item.record, FinishedCell)]
    for path, record in done[1:]:
        first, ours = done[0]
        differing = [key for key in ("targets", "metrics", "trajectory") if getattr(ours, key) != getattr(record, key)]
        if differing:
            raise InputError(
                f"{first} and {path} do not match: '{differing[0]}' of cell {record.id} differs. Was it computed on "
                "different hardware, or with a different --batch-size?"
            )
    begun = [(item.folder.path, item.record) for item in items if isinstance(item.record, BegunCell)]
    for path, partial in begun[1:]:
        first, begin = begun[0]
        for key in ("targets", "batch_size", "n"):
            if getattr(begin, key) != getattr(partial, key):
                raise InputError(
                    f"{first} and {path} do not match: '{key}' of cell {partial.id} is {getattr(begin, key)} in one "
                    f"and {getattr(partial, key)} in the other."
                )


def _changed(item: _Found) -> Path | None:
    """Return a file that is not as the record of a finished cell says, if there is one."""
    return next(item.folder.changed(item.record), None) if isinstance(item.record, FinishedCell) else None


def _join(cell_id: str, items: Sequence[_Found], target: RunFolder, merged: Merged) -> None:
    done = next((item for item in items if isinstance(item.record, FinishedCell) and not _changed(item)), None)
    if done:
        _copy_tree(done.folder.images_folder(cell_id), target.images_folder(cell_id))
        Parts(target, cell_id).remove()
        for path in (done.folder.rows_path(cell_id), done.folder.record_path(cell_id)):
            _copy(path, target.records / path.name)
        merged.finished.append(cell_id)
        return
    begun = [(item.folder, item.record) for item in items if isinstance(item.record, BegunCell)]
    for folder, _ in begun:
        _copy_tree(folder.images_folder(cell_id), target.images_folder(cell_id))
    if begun:
        rows = {row for part in Parts(target, cell_id) for row in part}
        merged.unfinished[cell_id] = begun[0][1].n - len(rows)
    elif not isinstance(target.read(cell_id), FinishedCell):
        _copy(items[0].folder.record_path(cell_id), target.record_path(cell_id))
        merged.failed.append(cell_id)


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")) if source.is_dir() else ():
        if path.is_file() and path.suffix != ".lock":
            _copy(path, target / path.relative_to(source))


def _copy(source: Path, target: Path) -> None:
    """Copy a file whole or not at all; do nothing if both are the same."""
    if source.absolute() == target.absolute():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as temporary:
        shutil.copyfile(source, temporary)
