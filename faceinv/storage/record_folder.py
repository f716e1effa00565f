"""A folder of records: a JSON file for each, and a Parquet file with its rows."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from faceinv.errors import described
from faceinv.storage.atomic import write_atomically
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.hashing import stream_sha256
from faceinv.storage.records import FailedCell, FinishedCell
from faceinv.storage.regular import open_inside
from faceinv.storage.schema import checksum, finite

R = TypeVar("R", FinishedCell, ProbeRecord)
W = TypeVar("W", FinishedCell, FailedCell, ProbeRecord)


@dataclass(frozen=True)
class RecordFolder:
    """The records in one folder of a run.

    Args:
        path: The run folder.
    """

    path: Path

    #: Name of the folder that holds the records.
    FOLDER: ClassVar[str]

    @property
    def records(self) -> Path:
        """The folder that holds the records."""
        return self.path / self.FOLDER

    def record_path(self, record_id: str) -> Path:
        """Return the path of a record."""
        return self.records / f"{record_id}.json"

    def rows_path(self, record_id: str) -> Path:
        """Return the path of a record's rows."""
        return self.records / f"{record_id}.parquet"

    def write(self, record: W) -> W:
        """Write a record atomically, and return it with its checksum.

        It is written last, so that a whole record means that everything is there.
        """
        record = record.model_copy(update={"checksum": checksum(record.as_json())})
        text = json.dumps(record.as_json(), indent=2, ensure_ascii=False)
        write_atomically(self.record_path(record.id), (text + "\n").encode())
        return record

    def write_rows(self, record_id: str, columns: Mapping[str, Sequence[Any]]) -> dict[str, str]:
        """Write the rows of a record, given by column; return the digest by file name."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink, path = pa.BufferOutputStream(), self.rows_path(record_id)
        pq.write_table(pa.table(finite(columns)), sink, compression="zstd")
        return self._write(path, sink.getvalue().to_pybytes())

    def columns(self, record_id: str, digest: str = "", most: int | None = None) -> dict[str, list[Any]]:
        """Return the rows of a record, by column.

        Args:
            record_id: The record.
            digest: SHA-256 of the file, if the record has it.
            most: Number of rows that are read at most; a small file may hold a billion.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is not a Parquet file, not what the record says, or has too many rows.
        """
        import pyarrow.parquet as pq

        with open_inside(self.path, self.rows_path(record_id)) as file:
            if digest and stream_sha256(file) != digest:
                raise ValueError("it was changed after its record was written")
            file.seek(0)
            try:
                opened = pq.ParquetFile(file)
                count = opened.metadata.num_rows
                columns: dict[str, list[Any]] = {} if most and count > most else opened.read().to_pydict()
            except Exception as error:  # damaged files raise more than Arrow's own errors
                raise ValueError(f"not a Parquet file: {described(error)}") from None
        if most and count > most:
            raise ValueError(f"it has {count} rows, and its record {most}")
        return columns

    def file(self, record: FinishedCell | ProbeRecord, name: str) -> Path:
        """Return the path of a file that ``digests`` names."""
        return self.records / name

    def changed(self, record: FinishedCell | ProbeRecord) -> Iterator[Path]:
        """Yield each file of a record that is missing, cannot be read, or is not what the record says."""
        for name, known in record.digests.items():
            path = self.file(record, name)
            try:
                with open_inside(self.path, path) as file:
                    same = stream_sha256(file) == known
            except OSError:
                same = False
            if not same:
                yield path
        # The records of older versions have no digests.
        if not record.digests and not self.rows_path(record.id).is_file():
            yield self.rows_path(record.id)

    def whole(self, record: R, say: Callable[[str], None]) -> R | None:
        """Return the record if its files are what it says, else ``None``; ``say`` which file is not."""
        path = next(self.changed(record), None)
        if path is None:
            return record
        say(f"{path} is missing or not as it was written; it is computed again.")
        return None

    def _write(self, path: Path, content: bytes) -> dict[str, str]:
        write_atomically(path, content)
        return {path.name: hashlib.sha256(content).hexdigest()}
