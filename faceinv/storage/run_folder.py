"""The results of a run: for each cell a record, a Parquet file with a row per target, and its pictures."""

from __future__ import annotations

import io
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.record_folder import RecordFolder
from faceinv.storage.records import SCHEMA, FailedCell, FinishedCell, read_cell
from faceinv.storage.regular import open_inside

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

#: Most bytes of attributes that are read.
_LARGEST = 1 << 30


@dataclass(frozen=True)
class RunFolder(RecordFolder):
    """The files of a run: ``cells/<id>.json``, ``cells/<id>.parquet``, ``cells/<id>/*.png``."""

    FOLDER = "cells"

    def images_folder(self, cell_id: str) -> Path:
        """Return the folder of the cell's reconstructions."""
        return self.records / cell_id

    def read(self, cell_id: str) -> FinishedCell | FailedCell | None:
        """Return the record if it is there, whole and of this schema, else ``None``."""
        try:
            record = read_cell(self.record_path(cell_id))
        except ValueError:
            return None
        return record if record.schema_number == SCHEMA else None

    def finished(self, cell_id: str, say: Callable[[str], None] = lambda text: None) -> FinishedCell | None:
        """Return the record if its cell is finished and all files are as they were written, else ``None``.

        Args:
            cell_id: Id of the cell.
            say: Called with a remark if the record or a file is damaged.
        """
        path = self.record_path(cell_id)
        try:
            record = read_cell(path)
        except ValueError as error:
            if path.exists():
                say(f"{path} is not a record: {error}. The cell is computed again.")
            return None
        return self.whole(record, say) if isinstance(record, FinishedCell) and record.schema_number == SCHEMA else None

    def file(self, record: FinishedCell | ProbeRecord, name: str) -> Path:
        """Return the path of a file that ``digests`` names."""
        if name == self.rows_path(record.id).name:
            return self.records / name
        # The pictures of 'faceinv invert' lie directly in the run folder.
        own = isinstance(record, FinishedCell) and record.kind == "invert" and name != self.attributes_path("").name
        return (self.path if own else self.images_folder(record.id)) / name

    def attributes_path(self, cell_id: str) -> Path:
        """Return the path of the attributes that the probes read from the leaked descriptors."""
        return self.images_folder(cell_id) / "read.npz"

    def write_attributes(self, cell_id: str, attributes: Mapping[str, npt.NDArray[np.float32]]) -> dict[str, str]:
        """Write the attributes read from the descriptors, ``(N, *shape)`` by probe; return its digest."""
        import numpy as np

        buffer = io.BytesIO()
        # The prefix keeps a probe named "file" apart from the keyword of savez.
        np.savez_compressed(buffer, **{f"read:{name}": array for name, array in attributes.items()})  # type: ignore[arg-type]
        return self._write(self.attributes_path(cell_id), buffer.getvalue())

    def read_attributes(self, cell_id: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the attributes read from the descriptors, ``(N, *shape)`` by probe; empty if none can be read."""
        import numpy as np

        try:
            with (
                open_inside(self.path, self.attributes_path(cell_id)) as file,
                np.load(file, allow_pickle=False) as archive,
            ):
                if sum(item.file_size for item in archive.zip.infolist()) > _LARGEST:
                    return {}
                found = {name.partition(":")[2]: archive[name] for name in archive.files}
        except Exception:  # what NumPy and zipfile raise for damaged files has no common class
            return {}
        return {name: array for name, array in found.items() if array.dtype.kind == "f"}


def environment() -> dict[str, str]:
    """Return the versions that the numbers depend on."""
    import importlib.metadata

    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("faceinv", "torch", "numpy", "pillow"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions
