"""The results of ``faceinv probe``: ``probes/<id>.json``, and a Parquet file with a row per image and reading."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faceinv.storage.audit_records import ProbeRecord, read_probe
from faceinv.storage.record_folder import RecordFolder


@dataclass(frozen=True)
class ProbeFolder(RecordFolder):
    """The probe records of a run folder."""

    FOLDER = "probes"

    def finished(self, record_id: str, say: Callable[[str], None] = lambda text: None) -> ProbeRecord | None:
        """Return the record if it and its rows are as they were written, else ``None``; ``say`` what is damaged."""
        path = self.record_path(record_id)
        try:
            record = read_probe(path)
        except ValueError as error:
            if path.exists():
                say(f"{path} is not a record: {error}. It is computed again.")
            return None
        return self.whole(record, say)

    def photograph_path(self, record_id: str, image: str) -> Path:
        """Return the path of a photograph that ``--figures`` keeps; an id may have any characters."""
        return self.records / record_id / f"{hashlib.sha256(image.encode()).hexdigest()[:16]}.png"

    def rows(self, record_id: str) -> list[dict[str, Any]]:
        """Return the rows of a record, one mapping per image and reading."""
        columns = self.columns(record_id)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
