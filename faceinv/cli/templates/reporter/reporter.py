"""The reporter, which receives the events of a run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faceinv.contracts import CellFacts, CellResult, RunFacts, RunReporter


class MyReporter(RunReporter):
    """Writes a line of JSON for each finished or failed cell into the run folder.

    Args:
        name: Name of the file.
    """

    def __init__(self, name: str = "events.jsonl") -> None:
        self._name = name

    def run_started(self, run: RunFacts) -> None:
        """Note where the file goes."""
        self._path = run.out / self._name

    def cell_done(self, cell: CellFacts, result: CellResult) -> None:
        """Write the mean of each score."""
        means = {name: summary["mean"] for name, summary in result.record["metrics"].items()}
        self._write(event="cell done", cell=cell.id, label=cell.label, scores=means)

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Write the error."""
        self._write(event="failed", cell=cell.id if cell else None, error=error)

    def run_done(self, report: Path | None) -> None:
        """Write where the report is."""
        self._write(event="run done", report=report and str(report))

    def _write(self, **event: Any) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(event) + "\n")
