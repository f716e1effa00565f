"""What a cell produced: one JSON file, written atomically, and a Parquet file with a row per target."""

from __future__ import annotations

import io
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceinv.storage.atomic import write_atomically

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SCHEMA = 2


@dataclass(frozen=True)
class RunFolder:
    """The files of a run: ``cells/<id>.json``, ``cells/<id>.parquet``, ``cells/<id>/*.png``.

    Args:
        path: The run's folder.
    """

    path: Path

    def record_path(self, cell_id: str) -> Path:
        """Return the record's path."""
        return self.path / "cells" / f"{cell_id}.json"

    def rows_path(self, cell_id: str) -> Path:
        """Return the path of the per-target rows."""
        return self.path / "cells" / f"{cell_id}.parquet"

    def images_folder(self, cell_id: str) -> Path:
        """Return the folder of the cell's reconstructions."""
        return self.path / "cells" / cell_id

    def read(self, cell_id: str) -> dict[str, Any] | None:
        """Return the record if it is there and whole, else ``None``."""
        try:
            record = json.loads(self.record_path(cell_id).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if isinstance(record, dict) and record.get("schema") == SCHEMA else None

    def finished(self, cell_id: str) -> dict[str, Any] | None:
        """Return the record if its cell was computed to the end, else ``None``."""
        record = self.read(cell_id)
        return record if record and record["status"] == "ok" and self.rows_path(cell_id).is_file() else None

    def write(self, cell_id: str, record: Mapping[str, Any]) -> None:
        """Write the record atomically; it is the last file of a cell, so that a whole one means a whole cell."""
        text = json.dumps(finite({"schema": SCHEMA, "id": cell_id} | dict(record)), indent=2, ensure_ascii=False)
        write_atomically(self.record_path(cell_id), (text + "\n").encode())

    def write_rows(self, cell_id: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Write one row per target, a column per metric."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(pa.table(dict(columns)), sink)
        write_atomically(self.rows_path(cell_id), sink.getvalue().to_pybytes())

    def rows(self, cell_id: str) -> dict[str, list[Any]]:
        """Read the per-target rows back, by column."""
        import pyarrow.parquet as pq

        columns: dict[str, list[Any]] = pq.read_table(self.rows_path(cell_id)).to_pydict()
        return columns

    def attributes_path(self, cell_id: str) -> Path:
        """Return the path of what the probes read from the leaked descriptors."""
        return self.images_folder(cell_id) / "read.npz"

    def write_attributes(self, cell_id: str, attributes: Mapping[str, npt.NDArray[np.float32]]) -> None:
        """Write what each probe read from the descriptors, ``(N, *shape)`` by probe."""
        import numpy as np

        buffer = io.BytesIO()
        # Probes may be called anything, such as "file": a keyword of savez.
        np.savez_compressed(buffer, **{f"read:{name}": array for name, array in attributes.items()})  # type: ignore[arg-type]
        write_atomically(self.attributes_path(cell_id), buffer.getvalue())

    def read_attributes(self, cell_id: str) -> dict[str, npt.NDArray[np.float32]]:
        """Return what each probe read from the descriptors, ``(N, *shape)`` by probe; nothing if it was not kept."""
        import numpy as np

        try:
            with np.load(self.attributes_path(cell_id), allow_pickle=False) as archive:
                return {name.partition(":")[2]: archive[name] for name in archive.files}
        except (OSError, ValueError):
            return {}


def environment() -> dict[str, str]:
    """Return the versions that numbers depend on."""
    import importlib.metadata

    versions = {"python": platform.python_version(), "machine": platform.machine()}
    for name in ("faceinv", "torch", "numpy", "pillow"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def finite(value: Any) -> Any:
    """Replace not-a-number and infinities, which JSON does not know, by ``None``."""
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
