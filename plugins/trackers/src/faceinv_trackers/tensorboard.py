"""TensorBoard: one folder of event files per cell, in the run folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from faceinv.contracts import BatchFacts, CellFacts, CellResult, RunFacts, RunReporter
from faceinv_trackers.facts import losses, name_of, pairs, plain, scores, tracker


class TensorBoard(RunReporter):
    """Writes scalars, pictures and texts: ``tensorboard --logdir RUN/tensorboard`` shows them.

    Args:
        folder: Where the event files go; by default ``tensorboard`` in the run folder.
        pictures: Number of targets per cell whose pictures are written.
    """

    def __init__(self, folder: str = "", pictures: int = 8) -> None:
        tracker("tensorboard", "tensorboard")
        self._make: Any = tracker("torch.utils.tensorboard", "tensorboard").SummaryWriter
        self._folder, self._pictures = folder, pictures
        self._writers: dict[str, Any] = {}

    def run_started(self, run: RunFacts) -> None:
        """Note where files go, and write the config."""
        self._root = Path(self._folder) if self._folder else run.out / "tensorboard"
        self._root.mkdir(parents=True, exist_ok=True)
        self._write("run").add_text("config", _code(run.config))

    def batch_done(self, cell: CellFacts, batch: BatchFacts) -> None:
        """Write the batch's mean scores, over the number of targets done."""
        for name, value in batch.scores.items():
            self._write(name_of(cell)).add_scalar(f"batch/{plain(name)}", value, batch.done)
        self._write(name_of(cell)).flush()

    def cell_done(self, cell: CellFacts, result: CellResult) -> None:
        """Write scores with their intervals, losses, pictures and the record."""
        # What an earlier call wrote of this cell would be shown twice.
        if result.cached:
            shutil.rmtree(self._root / name_of(cell), ignore_errors=True)
        writer = self._write(name_of(cell))
        for name, value in scores(result.record):
            writer.add_scalar(name, value, cell.config["steps"])
        for name, step, value in losses(result.record):
            writer.add_scalar(name, value, step)
        for row, (picture, pixels) in enumerate(pairs(result, self._pictures)):
            writer.add_image(f"target and reconstruction/{plain(picture.name)}", pixels, row, dataformats="HWC")
        writer.add_text("record", _code(result.record))
        self._close(name_of(cell))

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Write the error."""
        name = name_of(cell) if cell else "run"
        self._write(name).add_text("error", error)
        self._close(name)

    def run_done(self, report: Path | None) -> None:
        """Put the report next to the event files, which hold no documents."""
        if report:
            shutil.copyfile(report, self._root / "report.html")
            self._write("run").add_text("report", str(self._root / "report.html"))
        for name in list(self._writers):
            self._close(name)

    def _write(self, name: str) -> Any:
        if name not in self._writers:
            self._writers[name] = self._make(str(self._root / name))
        return self._writers[name]

    def _close(self, name: str) -> None:
        writer = self._writers.pop(name, None)
        if writer:
            writer.close()


def _code(content: Any) -> str:
    """Return JSON as Markdown code."""
    return f"```json\n{json.dumps(content, indent=2)}\n```"
