"""The results of a run: for each cell a record, a Parquet file with a row per target, and its pictures."""

from __future__ import annotations

import io
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceinv.storage.atomic import write_atomically
from faceinv.storage.record_folder import RecordFolder
from faceinv.storage.records import SCHEMA, FailedCell, FinishedCell, read_cell

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


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

    def finished(self, cell_id: str) -> FinishedCell | None:
        """Return the record if its cell is finished and its rows are there, else ``None``."""
        record = self.read(cell_id)
        return record if isinstance(record, FinishedCell) and self.rows_path(cell_id).is_file() else None

    def attributes_path(self, cell_id: str) -> Path:
        """Return the path of the attributes that the probes read from the leaked descriptors."""
        return self.images_folder(cell_id) / "read.npz"

    def write_attributes(self, cell_id: str, attributes: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Write the attributes read from the descriptors, ``(N, *shape)`` by probe."""
        import numpy as np

        buffer = io.BytesIO()
        # The prefix keeps a probe named "file" apart from the keyword of savez.
        np.savez_compressed(buffer, **{f"read:{name}": array for name, array in attributes.items()})  # type: ignore[arg-type]
        write_atomically(self.attributes_path(cell_id), buffer.getvalue())

    def read_attributes(self, cell_id: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return the attributes read from the descriptors, ``(N, *shape)`` by probe; empty if none can be read."""
        import zipfile

        import numpy as np

        try:
            with np.load(self.attributes_path(cell_id), allow_pickle=False) as archive:
                return {name.partition(":")[2]: archive[name] for name in archive.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            return {}


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
