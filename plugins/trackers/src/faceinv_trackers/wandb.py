"""Weights & Biases: one W&B run per cell, grouped by run folder, by default offline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faceinv.contracts import BatchFacts, CellFacts, CellResult, RunFacts, RunReporter
from faceinv_trackers.facts import losses, name_of, pairs, plain, scores, tracker


class WandB(RunReporter):
    """Logs through the package ``wandb``; ``wandb sync RUN/wandb/offline-*`` uploads what was logged offline.

    Args:
        project: Name of the project.
        mode: ``offline``, ``online``, which needs ``wandb login``, or ``disabled``.
        pictures: Number of targets per cell whose pictures are logged.
        report: Whether the run's page is logged, which has all pictures in it.
    """

    def __init__(self, project: str = "faceinv", mode: str = "offline", pictures: int = 8, report: bool = True) -> None:
        self._wandb: Any = tracker("wandb", "wandb")
        self._project, self._mode, self._pictures, self._report = project, mode, pictures, report
        self._run: Any = None
        self._open = ""

    def run_started(self, run: RunFacts) -> None:
        """Note the run."""
        self._facts = run

    def batch_done(self, cell: CellFacts, batch: BatchFacts) -> None:
        """Log the batch's mean scores, with the number of targets done."""
        values = {f"batch/{plain(name)}": value for name, value in batch.scores.items()}
        self._of(cell).log({"targets": batch.done, **values})

    def cell_done(self, cell: CellFacts, result: CellResult) -> None:
        """Log losses, pictures and the record; scores with their intervals become the run's summary."""
        run = self._of(cell)
        steps: dict[int, dict[str, float]] = {}
        for name, step, value in losses(result.record):
            steps.setdefault(step, {})[name] = value
        for step, values in sorted(steps.items()):
            run.log({"image-step": step, **values})
        pictures = [
            self._wandb.Image(pixels, caption=plain(picture.name)) for picture, pixels in pairs(result, self._pictures)
        ]
        if pictures:
            run.log({"target and reconstruction": pictures})
        run.summary.update(dict(scores(result.record)))
        artefact = self._wandb.Artifact(f"record-{cell.id}", type="record")
        with artefact.new_file("record.json", mode="w") as file:
            json.dump(result.record, file, indent=2)
        run.log_artifact(artefact)
        self._finish(0)

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Log the error, and finish the run as failed."""
        if cell:
            self._of(cell).summary.update({"error": error})
        self._finish(1)

    def run_done(self, report: Path | None) -> None:
        """Log the report as an artefact, in a run of its own."""
        self._finish(0)
        if report and self._report:
            run = self._begin("report", self._facts.config)
            artefact = self._wandb.Artifact("report", type="report")
            artefact.add_file(str(report))
            run.log_artifact(artefact)
            run.finish()

    def _begin(self, name: str, config: Any) -> Any:
        settings = self._wandb.Settings(silent=True, console="off")
        out = self._facts.out
        return self._wandb.init(
            project=self._project, group=out.name, name=name, dir=str(out), mode=self._mode,
            config=dict(config), reinit="finish_previous", settings=settings,
        )  # fmt: skip

    def _of(self, cell: CellFacts) -> Any:
        """Return the cell's run; W&B has one open at a time, so another cell's is finished first."""
        if self._open != cell.id:
            self._finish(0)
            self._run, self._open = self._begin(name_of(cell), cell.config), cell.id
        return self._run

    def _finish(self, code: int) -> None:
        if self._run is not None:
            self._run.finish(exit_code=code)
        self._run, self._open = None, ""
