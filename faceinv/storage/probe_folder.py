"""The results of ``faceinv probe``: ``probes/<id>.json``, and a Parquet file with a row per image and reading."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faceinv.storage.record_folder import RecordFolder
from faceinv.storage.records import ProbeRecord, read_probe


@dataclass(frozen=True)
class ProbeFolder(RecordFolder):
    """The probe records of a run folder."""

    FOLDER = "probes"

    def finished(self, record_id: str) -> ProbeRecord | None:
        """Return the record if it and its rows are there and whole, else ``None``."""
        try:
            record = read_probe(self.record_path(record_id))
        except ValueError:
            return None
        return record if self.rows_path(record_id).is_file() else None

    def rows(self, record_id: str) -> list[dict[str, Any]]:
        """Return the rows of a record, one mapping per image and reading."""
        columns = self.columns(record_id)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
