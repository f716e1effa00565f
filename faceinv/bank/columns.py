"""Columns: one value of a fixed shape per image of a data set, filled in chunks, read by mapping the file.

A column is a folder. ``values.bin`` holds the rows in the machine's byte order. While it is being filled,
``progress.jsonl`` has a line with a checksum for each finished chunk. ``manifest.json`` is written last; it marks the
column as complete, lists what it was made of and keeps the checksums. If a process is killed at any point, the next
one continues; chunks that are not as they were written are computed again.
"""

from __future__ import annotations

import json
import math
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import filelock
import torch
from torch import Tensor

from faceinv.errors import StorageError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.hashing import fingerprint
from faceinv.storage.run_folder import environment

#: Rows that are written together, and lost together if the process is killed.
CHUNK = 256

_SCHEMA = 1


class Column:
    """One value for each of ``rows`` images.

    Args:
        root: Folder of all columns.
        kind: What it holds; the first part of the folder's name.
        parts: Everything that the values depend on; its hash is the rest of the folder's name.
        rows: Number of images.
        shape: Shape of one value.
        dtype: ``torch.float32`` or ``torch.uint8``.
        chunk: Rows that are written together.
    """

    def __init__(
        self,
        root: Path,
        kind: str,
        parts: Mapping[str, Any],
        rows: int,
        shape: tuple[int, ...],
        dtype: torch.dtype = torch.float32,
        *,
        chunk: int = CHUNK,
    ) -> None:
        self.rows, self.shape, self.dtype, self._chunk = rows, tuple(shape), dtype, chunk
        self.parts = {"schema": _SCHEMA, "rows": rows, "shape": self.shape, "dtype": str(dtype)} | dict(parts)
        self.key = fingerprint(self.parts)
        self.path = root / f"{kind}-{self.key}"
        self._row_bytes = math.prod(self.shape) * torch.empty(0, dtype=dtype).element_size()
        self._done: dict[int, dict[str, Any]] = {}
        self._complete: dict[str, Any] = {}

    @property
    def chunks(self) -> range:
        """Numbers of all chunks."""
        return range(math.ceil(self.rows / self._chunk))

    def span(self, chunk: int) -> range:
        """Return the rows of a chunk."""
        return range(chunk * self._chunk, min((chunk + 1) * self._chunk, self.rows))

    def is_complete(self) -> bool:
        """Return True if every row is there, as it was written; that is checked once."""
        if not self._complete:
            manifest = self._manifest()
            try:
                with open(self.path / "values.bin", "rb") as file:
                    # In chunks of the size that they were written in.
                    if all(zlib.crc32(file.read(manifest["bytes"])) == crc32 for crc32 in manifest.get("crc32", ())):
                        self._complete = manifest
            except OSError:
                return False
        return bool(self._complete)

    def missing(self) -> list[int]:
        """Return the chunks that still have to be written; valid between :func:`filling` and :meth:`finish`."""
        return [chunk for chunk in self.chunks if chunk not in self._done]

    def begin(self, say: Callable[[str], None]) -> None:
        """Create the files, or check the chunks that an earlier process wrote into them.

        Args:
            say: Called with a line if it was complete but is no longer as it was written.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        manifest = self.path / "manifest.json"
        was_complete, entries = manifest.is_file(), list(self._entries()) or list(self._journal())
        values = self.path / "values.bin"
        size = self.rows * self._row_bytes
        if not values.is_file() or values.stat().st_size != size:
            (self.path / "progress.jsonl").unlink(missing_ok=True)
            with open(values, "wb") as file:
                file.truncate(size)
        with open(values, "rb") as file:
            self._done = {entry["chunk"]: entry for entry in entries if self._is_sound(file, entry)}
        # Rewrite the journal: its last line may have been cut short, and the next entry needs a line of its own.
        lines = "".join(json.dumps(entry) + "\n" for entry in self._done.values())
        write_atomically(self.path / "progress.jsonl", lines.encode())
        manifest.unlink(missing_ok=True)
        if was_complete:
            lost = len(self.missing())
            say(f"{self.path}: {lost} of {len(self.chunks)} chunks are not as they were written; they are made anew.")

    def write(self, chunk: int, values: Tensor, skipped: Mapping[int, str]) -> None:
        """Write the rows of a chunk.

        Args:
            chunk: Its number.
            values: ``(len(span), *shape)``; skipped rows may hold anything.
            skipped: Reason for each row without a value, by its number in the data set.
        """
        content = values.detach().to("cpu", self.dtype).contiguous().numpy().tobytes()
        with open(self.path / "values.bin", "r+b") as file:
            file.seek(chunk * self._chunk * self._row_bytes)
            file.write(content)
        entry = {
            "chunk": chunk,
            "crc32": zlib.crc32(content),
            "skipped": {str(row): why for row, why in skipped.items()},
        }
        with open(self.path / "progress.jsonl", "a", encoding="utf-8") as journal:
            journal.write(json.dumps(entry) + "\n")
        self._done[chunk] = entry

    def finish(self) -> None:
        """Mark the column as complete."""
        with open(self.path / "values.bin", "r+b") as file:
            os.fsync(file.fileno())
        manifest = {
            "made_of": self.parts,
            "bytes": self._chunk * self._row_bytes,
            "crc32": [self._done[chunk]["crc32"] for chunk in self.chunks],
            "skipped": {row: why for chunk in self.chunks for row, why in self._done[chunk]["skipped"].items()},
            "environment": environment(),
        }
        manifest["digest"] = fingerprint(manifest)
        write_atomically(self.path / "manifest.json", json.dumps(manifest, indent=1, default=str).encode())
        (self.path / "progress.jsonl").unlink(missing_ok=True)
        self._complete = manifest

    def values(self) -> Tensor:
        """Return the rows ``(rows, *shape)`` of a complete column, mapped from the file and read only when used.

        The mapping is private: writing to the tensor does not change the file.
        """
        flat = torch.from_file(
            str(self.path / "values.bin"), shared=False, size=self.rows * math.prod(self.shape), dtype=self.dtype
        )
        return flat.view(self.rows, *self.shape)

    def skipped(self) -> dict[int, str]:
        """Return the reason for each row without a value of a complete column."""
        return {int(row): str(why) for row, why in self._complete["skipped"].items()}

    def _manifest(self) -> dict[str, Any]:
        """Return the manifest; nothing if it is missing, not as it was written, or that of another column."""
        try:
            manifest = json.loads((self.path / "manifest.json").read_bytes())
            digest = manifest.pop("digest", None)
        except (OSError, ValueError, RecursionError, AttributeError, TypeError):
            return {}
        sound = digest == fingerprint(manifest) and fingerprint(manifest["made_of"]) == self.key
        return manifest if sound else {}

    def _entries(self) -> Iterator[dict[str, Any]]:
        """Yield the journal's entry for each chunk of a manifest with chunks of this size."""
        manifest = self._manifest()
        if manifest.get("bytes") != self._chunk * self._row_bytes:
            return
        for chunk, crc32 in zip(self.chunks, manifest["crc32"], strict=True):
            rows = {str(row) for row in self.span(chunk)}
            skipped = {row: why for row, why in manifest["skipped"].items() if row in rows}
            yield {"chunk": chunk, "crc32": crc32, "skipped": skipped}

    def _journal(self) -> Iterator[dict[str, Any]]:
        try:
            lines = (self.path / "progress.jsonl").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return
        for line in lines:
            try:
                entry = json.loads(line)
                if entry["chunk"] in self.chunks and isinstance(entry["skipped"], dict):
                    yield entry
            except (ValueError, KeyError, TypeError):
                continue

    def _is_sound(self, file: IO[bytes], entry: Mapping[str, Any]) -> bool:
        span = self.span(entry["chunk"])
        file.seek(span.start * self._row_bytes)
        return zlib.crc32(file.read(len(span) * self._row_bytes)) == entry.get("crc32")


@contextmanager
def filling(
    columns: Mapping[str, Column], waiting: Callable[[], object], say: Callable[[str], None]
) -> Iterator[dict[str, Column]]:
    """Yield the incomplete ones of ``columns``, locked, so that two processes never fill the same column.

    Args:
        columns: By any name.
        waiting: Called before waiting for another process that is filling one of them.
        say: Called with a line for each column that is no longer as it was written.

    Raises:
        StorageError: if the folder cannot be written, or the disk is full.
    """
    try:
        with ExitStack() as locks:
            # The same order everywhere, so that two processes never wait for each other.
            for column in sorted(columns.values(), key=lambda column: column.path):
                if not column.is_complete():
                    column.path.parent.mkdir(parents=True, exist_ok=True)
                    lock = filelock.FileLock(f"{column.path}.lock")
                    try:
                        lock.acquire(timeout=0)
                    except filelock.Timeout:
                        waiting()
                        lock.acquire()
                    locks.callback(lock.release)
            incomplete = {name: column for name, column in columns.items() if not column.is_complete()}
            for column in incomplete.values():
                column.begin(say)
            yield incomplete
    except OSError as error:
        where = error.filename or next(iter(columns.values())).path.parent
        raise StorageError(
            f"{where}: cannot be written: {error.strerror or error}. Values that were computed are kept; "
            "free space there, or set FACEINV_CACHE, and run the same command again."
        ) from error
