"""The results of single batches of a cell's targets, one file each, joined into the record once all are there.

A cell is computed one batch at a time, and a batch is never split: kernels may sum in a different order for a
different number of images, so results agree to the last digit only if the batches do. It does not matter which process
or machine computes a batch, or when; a run that was killed continues after the last file.
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import numpy.typing as npt

from faceinv.errors import InputError, StorageError, described
from faceinv.storage.atomic import write_atomically
from faceinv.storage.hashing import file_sha256
from faceinv.storage.records import BegunCell, read_begun
from faceinv.storage.regular import open_regular
from faceinv.storage.run_folder import RunFolder

#: The file next to the parts that says which cell they belong to.
CELL = "cell.json"
Array = npt.NDArray[Any]
#: Facts that must agree before parts can be joined, and the cause or remedy if they do not.
_ALIKE = {
    "targets": "the target images differ",
    "batch_size": "their batches have different sizes",
    "learned_hash": "their probes and regressors were trained separately and differ; share FACEINV_CACHE, or copy the "
    "cache's folder 'trained'",
}


@dataclass(frozen=True)
class Part:
    """The results of a batch of ``n`` targets.

    Args:
        targets: Descriptors ``(n, D)`` of the targets, by encoder.
        results: Descriptors ``(n, D)`` of the reconstructions, by encoder.
        columns: Scores of each pair ``(n,)``, by column.
        read: Attributes that each probe read from the leaked descriptors, ``(n, *shape)``.
        trajectory: Sum over the targets of each loss at each step, ``(steps,)``.
        facts: Further facts, as JSON: the targets, the trained readers, the times, the SHA-256 of each picture.
    """

    targets: Mapping[str, Array]
    results: Mapping[str, Array]
    columns: Mapping[str, Array]
    read: Mapping[str, Array]
    trajectory: Mapping[str, Array]
    facts: Mapping[str, Any] = field(default_factory=dict)


_ARRAYS = ("targets", "results", "columns", "read", "trajectory")
#: Facts that every part has.
_FACTS = {
    *("n", "targets", "batch_size", "learned", "learned_hash", "seconds", "digests"),
    *("queries", "image_steps", "queries_sum", "image_steps_sum"),
}


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
        """Write a part atomically. It is written last, so that a whole part means a whole batch."""
        arrays = {f"{kind}:{name}": array for kind in _ARRAYS for name, array in getattr(part, kind).items()}
        arrays["facts"] = np.frombuffer(json.dumps(dict(part.facts)).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self.part_path(rows), buffer.getvalue())

    def describe(self, facts: Mapping[str, Any]) -> None:
        """Write which cell the parts belong to, unless that is known already."""
        path = self.path / CELL
        if not path.is_file():
            write_atomically(path, json.dumps(BegunCell.of(self.cell_id, facts).as_json()).encode())

    def described(self) -> BegunCell | None:
        """Return what :meth:`describe` wrote, or ``None`` if there is nothing yet."""
        try:
            return read_begun(self.path / CELL)
        except ValueError:
            return None

    def found(self, rows: range, say: Callable[[str], None]) -> Part | None:
        """Return the part of these rows, or ``None`` if it, or one of its pictures, is missing or damaged.

        Args:
            rows: The rows.
            say: Called with a remark if something is damaged.
        """
        path = self.part_path(rows)
        if not path.exists():
            return None
        try:
            part = self.read(rows)
        except InputError as error:
            say(f"{error} It is computed again.")
            return None
        for name, known in part.facts["digests"].items():
            picture = self.path.parent / name
            try:
                same = file_sha256(picture) == known
            except OSError:
                same = False
            if not same:
                say(f"{picture} is missing or not as it was written; its batch is computed again.")
                return None
        return part

    def read(self, rows: range) -> Part:
        """Return the part of these rows.

        Raises:
            InputError: if it is missing or damaged.
        """
        arrays: dict[str, dict[str, Array]] = {kind: {} for kind in _ARRAYS}
        path = self.part_path(rows)
        try:
            with open_regular(path) as file, np.load(file, allow_pickle=False) as archive:
                for key in archive.files:
                    kind, colon, name = key.partition(":")
                    if colon:
                        arrays[kind][name] = archive[key]
                facts = json.loads(archive["facts"].tobytes())
            lacking = _FACTS - facts.keys()
            if lacking:
                raise ValueError(f"it lacks {', '.join(sorted(lacking))}")
            if any(Path(name).name != name for name in facts["digests"]):
                raise ValueError("it names files of other folders")
            return Part(**arrays, facts=facts)
        except Exception as error:  # what NumPy and zipfile raise for damaged files has no common class
            raise InputError(f"{path}: this part of a cell cannot be read: {described(error)}.") from error

    def __iter__(self) -> Iterator[range]:
        """Yield the rows of every existing part, in order."""
        for path in sorted(self.path.glob("*-*.npz")):
            first, _, last = path.stem.partition("-")
            if first.isdigit() and last.isdigit():
                yield range(int(first), int(last))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing, joining and removing the results of the same cell.

        The lock is a file next to the cell's folder, because the folder of the parts is removed while it is held.

        Raises:
            StorageError: if the run folder cannot be written.
        """
        path = self.folder.records / f"{self.cell_id}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = filelock.FileLock(path)
            lock.acquire()
        except OSError as error:
            raise StorageError(f"{path}: cannot be written: {error.strerror or error}.") from error
        try:
            yield
        finally:
            lock.release()

    def remove(self) -> None:
        """Remove the parts of a finished cell: once its record is written, or of a process that was killed then."""
        if self.path.is_dir():
            shutil.rmtree(self.path, ignore_errors=True)


def put_together(parts: Sequence[Part], where: str) -> Part:
    """Return all parts as one, with the facts of the first; times and budgets are summed.

    Args:
        parts: All parts of a cell, in order.
        where: Name of the cell in messages.

    Raises:
        InputError: if they do not belong together.
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
        # Summed in order: another order would round differently.
        trajectory={name: _summed([part.trajectory[name] for part in parts]) for name in first.trajectory},
        facts={
            **first.facts,
            "seconds": seconds,
            "seconds_a_target": [round(part.facts["seconds"]["invert"] / part.facts["n"], 4) for part in parts],
            **{key: max(part.facts[key] for part in parts) for key in ("queries", "image_steps")},
            **{key: sum(part.facts[key] for part in parts) for key in ("queries_sum", "image_steps_sum")},
            "digests": {name: digest for part in parts for name, digest in part.facts["digests"].items()},
        },
    )


def _summed(arrays: list[Array]) -> Array:
    """Return the sum of series; one that ended early continues at its last value."""
    total = np.zeros(max(len(array) for array in arrays))
    for array in arrays:
        total[: len(array)] += array
        if 0 < len(array) < len(total):
            total[len(array) :] += array[-1]
    return total
