"""A folder of records: a JSON file for each, and a Parquet file with its rows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from faceinv.storage.atomic import write_atomically
from faceinv.storage.records import CellRecord, ProbeRecord


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

    def write(self, record: CellRecord | ProbeRecord) -> None:
        """Write a record atomically. It is written last, so that a whole record means that everything is there."""
        text = json.dumps(record.as_json(), indent=2, ensure_ascii=False)
        write_atomically(self.record_path(record.id), (text + "\n").encode())

    def write_rows(self, record_id: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the rows of a record, given by column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
        write_atomically(self.rows_path(record_id), sink.getvalue().to_pybytes())

    def columns(self, record_id: str) -> dict[str, list[Any]]:
        """Return the rows of a record, by column.

        Raises:
            OSError: if the file cannot be read.
            ValueError: if it is not a Parquet file.
        """
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = pq.read_table(self.rows_path(record_id)).to_pydict()
        return columns
