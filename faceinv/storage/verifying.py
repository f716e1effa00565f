"""Compare the files of a run with the digests in its records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from faceinv.errors import InputError
from faceinv.storage.audit_records import ProbeRecord, read_probe
from faceinv.storage.probe_folder import ProbeFolder
from faceinv.storage.record_folder import RecordFolder
from faceinv.storage.records import FinishedCell, read_cell
from faceinv.storage.run_folder import RunFolder


@dataclass(frozen=True)
class Verified:
    """A file of a run, and whether it still is what its record says.

    Args:
        file: Its path.
        state: ``"ok"``, ``"changed"``, ``"missing"``, or ``"unknown"`` if there is no digest to compare it with.
        reason: Why it is not ``"ok"``.
    """

    file: Path
    state: Literal["ok", "changed", "missing", "unknown"]
    reason: str = ""


def verify(run: Path) -> Iterator[Verified]:
    """Yield the state of each record of a run, and of each file that belongs to it.

    Raises:
        InputError: if the folder has no record.
    """
    folders: tuple[RecordFolder, ...] = (RunFolder(run), ProbeFolder(run))
    files = [(folder, path) for folder in folders for path in sorted(folder.records.glob("*.json"))]
    if not files:
        raise InputError(f"The folder '{run}' holds no record.")
    for folder, path in files:
        try:
            record = read_probe(path) if isinstance(folder, ProbeFolder) else read_cell(path)
        except ValueError as error:
            yield Verified(path, "changed", str(error))
            continue
        if not record.checksum:
            yield Verified(path, "unknown", "an older version wrote it, without digests")
            continue
        yield Verified(path, "ok")
        if isinstance(record, FinishedCell | ProbeRecord):
            changed = set(folder.changed(record))
            for file in (folder.file(record, name) for name in record.digests):
                if file not in changed:
                    yield Verified(file, "ok")
                elif file.exists():
                    yield Verified(file, "changed", "its content is not what the record says")
                else:
                    yield Verified(file, "missing", "the record names it")
