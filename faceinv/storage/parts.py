"""What one batch of a cell's targets gave: a file each, put together into the cell's record when all are there.

A cell is computed a batch at a time, and a batch is never divided: kernels may sum in another order for another
number of images, so that results agree to the last digit only if batches do. Which process or machine computes a
batch does not matter, nor when; a run that was killed goes on after the last file.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import filelock
import numpy as np
import numpy.typing as npt

from faceinv.errors import InputError, StorageError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.run_folder import SCHEMA, RunFolder

#: The file beside the parts that says which cell they are of.
CELL = "cell.json"
Array = npt.NDArray[Any]
#: Facts that have to agree for parts to be put together, and what to do where they do not.
_ALIKE = {
    "targets": "the target images differ",
    "batch_size": "they are batches of different sizes",
    "trained": "probes and regressors were trained apart and came out different; share FACEINV_CACHE, or bring the "
    "cache's folder 'trained' along",
}


@dataclass(frozen=True)
class Part:
    """What a batch of ``n`` targets gave.

    Args:
        targets: Descriptors ``(n, D)`` of the targets, by encoder.
        results: Descriptors ``(n, D)`` of the reconstructions, by encoder.
        columns: Scores of each pair ``(n,)``, by column.
        read: What each probe read from the leaked descriptors, ``(n, *shape)``.
        trajectory: Sum over the targets of each loss at each step, ``(steps,)``.
        facts: What else has to be known, as JSON: of which targets, trained on what, how long it took.
    """

    targets: Mapping[str, Array]
    results: Mapping[str, Array]
    columns: Mapping[str, Array]
    read: Mapping[str, Array]
    trajectory: Mapping[str, Array]
    facts: Mapping[str, Any] = field(default_factory=dict)


_ARRAYS = ("targets", "results", "columns", "read", "trajectory")


@dataclass(frozen=True)
class Parts:
    """The parts of a cell, in its run folder under ``cells/<id>/parts``.

    Args:
        folder: The run folder.
        cell_id: The cell's name.
    """

    folder: RunFolder
    cell_id: str

    @property
    def path(self) -> Path:
        """The folder of the parts."""
        return self.folder.images_folder(self.cell_id) / "parts"

    def part_path(self, rows: range) -> Path:
        """Return the file of these rows."""
        return self.path / f"{rows.start:05d}-{rows.stop:05d}.npz"

    def write(self, rows: range, part: Part) -> None:
        """Write a part atomically; it is the last file of its batch, so that a whole one means a whole batch."""
        arrays = {f"{kind}:{name}": array for kind in _ARRAYS for name, array in getattr(part, kind).items()}
        arrays["facts"] = np.frombuffer(json.dumps(dict(part.facts)).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.part_path(rows), buffer.getvalue())

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Write which cell the parts are of, unless that is there."""
        path = self.path / CELL
        if not path.is_file():
            write_atomically(path, json.dumps({"schema": SCHEMA, "id": self.cell_id} | dict(facts)).encode())

    def described(self) -> dict[str, Any] | None:
        """Return what :meth:`describe` wrote, or ``None`` where nothing is there yet."""
        try:
            facts: dict[str, Any] = json.loads((self.path / CELL).read_bytes())
        except (OSError, ValueError):
            return None
        return facts

    def facts(self, rows: range) -> dict[str, Any] | None:
        """Return the facts of a part, or ``None`` where it is not there or not whole."""
        try:
            with open(self.part_path(rows), "rb") as file, np.load(file, allow_pickle=False) as archive:
                return _facts(archive)
        except (OSError, EOFError, ValueError, KeyError, BadZipFile):
            return None

    def read(self, rows: range) -> Part:
        """Return the part of these rows.

        Raises:
            InputError: it is not there, or not whole.
        """
        arrays: dict[str, dict[str, Array]] = {kind: {} for kind in _ARRAYS}
        try:
            with open(self.part_path(rows), "rb") as file, np.load(file, allow_pickle=False) as archive:
                for key in archive.files:
                    kind, colon, name = key.partition(":")
                    if colon:
                        arrays[kind][name] = archive[key]
                return Part(**arrays, facts=_facts(archive))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise InputError(f"{self.part_path(rows)}: this part of a cell cannot be read: {error}.") from error

    def __iter__(self) -> Iterator[range]:
        """Yield the rows of every part that is there, in order."""
        for path in sorted(self.path.glob("*-*.npz")):
            first, _, last = path.stem.partition("-")
            if first.isdigit() and last.isdigit():
                yield range(int(first), int(last))

    def locked(self) -> filelock.BaseFileLock:
        """Return a lock that keeps other processes from putting the same cell together.

        Raises:
            StorageError: the run folder cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"{self.path}: cannot be written: {error.strerror or error}.") from error
        return filelock.FileLock(self.path / ".lock")

    def remove(self) -> None:
        """Remove the parts: the record is written."""
        shutil.rmtree(self.path, ignore_errors=True)


def put_together(parts: Sequence[Part], where: str) -> Part:
    """Return one part of all, the facts of the first; times are summed up, and what the targets took.

    Args:
        parts: All parts of a cell, in order.
        where: What messages call them.

    Raises:
        InputError: they do not belong together.
    """
    first = parts[0]
    for key, reason in _ALIKE.items():
        if any(part.facts[key] != first.facts[key] for part in parts):
            raise InputError(f"{where}: its parts do not belong together: {reason}.")
    seconds: dict[str, float] = {}
    for part in parts:
        for name, value in part.facts["seconds"].items():
            seconds[name] = seconds.get(name, 0.0) + value

    def joined(kind: str) -> dict[str, Array]:
        names = getattr(first, kind)
        return {name: np.concatenate([getattr(part, kind)[name] for part in parts]) for name in names}

    return Part(
        targets=joined("targets"),
        results=joined("results"),
        columns=joined("columns"),
        read=joined("read"),
        # One after the other, in order: another order would round differently.
        trajectory={name: _summed([part.trajectory[name] for part in parts]) for name in first.trajectory},
        facts={
            **first.facts,
            "seconds": seconds,
            "seconds_a_target": [round(part.facts["seconds"]["invert"] / part.facts["n"], 4) for part in parts],
            **{key: max(part.facts[key] for part in parts) for key in ("queries", "image_steps")},
            **{key: sum(part.facts[key] for part in parts) for key in ("queries_sum", "image_steps_sum")},
        },
    )


def _summed(arrays: list[Array]) -> Array:
    """Return the sum of series, where one that ended early stays at its last value."""
    total = np.zeros(max(len(array) for array in arrays))
    for array in arrays:
        total[: len(array)] += array
        if 0 < len(array) < len(total):
            total[len(array) :] += array[-1]
    return total


def _facts(archive: Any) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(archive["facts"].tobytes())
    return facts
