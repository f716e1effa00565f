"""What an audit produced: ``probes/<id>.json``, and a Parquet file with a line for each image and reading."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceinv.storage.atomic import write_atomically
from faceinv.storage.run_folder import finite

#: Of probe records; theirs alone.
SCHEMA = 1


@dataclass(frozen=True)
class ProbeFolder:
    """The probe records of a run folder.

    Args:
        path: The run's folder.
    """

    path: Path

    def record_path(self, record_id: str) -> Path:
        """Return the record's path."""
        return self.path / "probes" / f"{record_id}.json"

    def rows_path(self, record_id: str) -> Path:
        """Return the path of the lines."""
        return self.path / "probes" / f"{record_id}.parquet"

    def finished(self, record_id: str) -> dict[str, Any] | None:
        """Return the record if it is there and whole, else ``None``."""
        try:
            record = json.loads(self.record_path(record_id).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        whole = isinstance(record, dict) and record.get("schema") == SCHEMA and record.get("status") == "ok"
        return record if whole and self.rows_path(record_id).is_file() else None

    def write(self, record_id: str, record: Mapping[str, Any]) -> None:
        """Write the record atomically; it is the last file, so that a whole one means that all is there."""
        text = json.dumps(finite({"schema": SCHEMA, "id": record_id} | dict(record)), indent=2, ensure_ascii=False)
        write_atomically(self.record_path(record_id), (text + "\n").encode())

    def write_rows(self, record_id: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write the lines, column by column."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(columns)), sink, compression="zstd")
        write_atomically(self.rows_path(record_id), sink.getvalue().to_pybytes())

    def rows(self, record_id: str) -> list[dict[str, Any]]:
        """Read the lines back."""
        import pyarrow.parquet as pq

        lines: list[dict[str, Any]] = pq.read_table(self.rows_path(record_id)).to_pylist()
        return lines
