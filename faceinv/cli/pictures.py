"""Pictures of a run that is still going on: a contact sheet that fills while cells are computed."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from faceinv.bench.cell import Cell
from faceinv.bench.naming import NamedCell, targets_key
from faceinv.errors import StorageError
from faceinv.execution.scheduler import GridRun
from faceinv.report.contact import ROWS, Strip, sheet_path, write_sheet
from faceinv.storage.regular import is_linked

#: Seconds between two looks at the files.
_PAUSE = 2.0


class GrowingSheet:
    """The contact sheet of a run, written anew when pictures have been added.

    Args:
        run: The run; the sheet shows the cells that share the targets of the first one computed.
        say: Called once, with the path of the sheet.
        clock: Returns seconds.
    """

    def __init__(self, run: GridRun, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._run, self._say, self._clock = run, say, clock
        self._path = sheet_path(run.runner.folder.path)
        self._next = 0.0
        self._shown: list[tuple[Path, int]] = []

    def refresh(self) -> None:
        """Write the sheet if there are new pictures, at most every two seconds; a failure is left to the last sheet."""
        now = self._clock()
        if now < self._next or not self._run.targets:
            return
        self._next = now + _PAUSE
        strips = self._strips()
        try:
            shown = [(file, file.stat().st_mtime_ns) for strip in strips for file in strip.files if file]
            if shown == self._shown:
                return
            # The mark that the folder is a run's comes first; see check_outputs.
            self._run.runner.folder.records.mkdir(parents=True, exist_ok=True)
            write_sheet(self._path, strips)
        except (OSError, StorageError):
            return
        if not self._shown:
            self._say(f"pictures appear in {self._path}")
        self._shown = shown

    def _strips(self) -> list[Strip]:
        """Return targets, starts and a column for each named cell with the same targets."""
        number, targets = next(iter(self._run.targets.items()))
        first = self._run.cells[number]
        rows = range(min(ROWS, len(targets.ids)))
        cells = [
            (cell, self._run.named[other])
            for other, cell in enumerate(self._run.cells)
            if other in self._run.named and (targets_key(cell), cell.encoder) == (targets_key(first), first.encoder)
        ]
        return [
            Strip(["target"], [targets.file(row) for row in rows]),
            Strip(["start"], [self._picture(self._run.named[number], row, "-start") for row in rows]),
            *(Strip(_caption(cell), [self._picture(named, row) for row in rows]) for cell, named in cells),
        ]

    def _picture(self, named: NamedCell, row: int, what: str = "") -> Path | None:
        folder = self._run.runner.folder
        path = folder.images_folder(named.id) / f"{row:05d}{what}.png"
        return path if path.is_file() and not is_linked(folder.path, path) else None


def _caption(cell: Cell) -> list[str]:
    return [",".join(cell.losses), cell.method]
