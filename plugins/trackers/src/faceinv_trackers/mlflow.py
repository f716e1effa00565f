"""MLflow: one MLflow run per cell, nested in one for the whole run, by default in a local file store."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import Image

from faceinv.contracts import BatchFacts, CellFacts, CellResult, RunFacts, RunReporter
from faceinv_trackers.facts import losses, name_of, pairs, plain, scores, tracker

#: Longest value of a parameter that every version of MLflow takes.
_LONGEST = 500
#: Most metrics in one request.
_MOST = 1000


class MLflow(RunReporter):
    """Logs parameters, metrics and artefacts through MLflow's client.

    Args:
        uri: The tracking server or folder; by default ``MLFLOW_TRACKING_URI``, or ``mlruns`` in the run folder.
        experiment: Name of the experiment.
        pictures: Number of targets per cell whose pictures are logged.
        report: Whether the run's page is logged, which has all pictures in it.
    """

    def __init__(self, uri: str = "", experiment: str = "faceinv", pictures: int = 8, report: bool = True) -> None:
        self._mlflow: Any = tracker("mlflow", "mlflow")
        self._uri, self._experiment, self._pictures, self._report = uri, experiment, pictures, report
        self._runs: dict[str, str] = {}
        self._failed = False

    def run_started(self, run: RunFacts) -> None:
        """Open the store, and log the config."""
        import os

        uri = self._uri or os.environ.get("MLFLOW_TRACKING_URI", "")
        if not uri:
            # MLflow 3.7 and newer ask for this word before they write a file store.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
            uri = (run.out.absolute() / "mlruns").as_uri()
        # Seven tries, MLflow's default, take four minutes, longer than a run waits at its end for the reason.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "5")
        self._client = self._mlflow.MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(self._experiment)
        self._place = found.experiment_id if found else self._client.create_experiment(self._experiment)
        self._main = self._begin(run.out.name, {})
        self._client.log_text(self._main, json.dumps(run.config, indent=2), "config.json")

    def cell_started(self, cell: CellFacts) -> None:
        """Open the cell's run, and log its config."""
        self._of(cell)

    def batch_done(self, cell: CellFacts, batch: BatchFacts) -> None:
        """Log the batch's mean scores, over the number of targets done."""
        values = [(f"batch/{plain(name)}", value, batch.done) for name, value in batch.scores.items()]
        self._log(self._of(cell), values)

    def cell_done(self, cell: CellFacts, result: CellResult) -> None:
        """Log scores with their intervals, losses, pictures and the record."""
        run = self._of(cell)
        self._log(run, [(name, value, 0) for name, value in scores(result.record)])
        self._log(run, [(name, value, step) for name, step, value in losses(result.record)])
        for row, (_, pixels) in enumerate(pairs(result, self._pictures)):
            self._client.log_image(run, Image.fromarray(pixels), artifact_file=f"pictures/{row:05d}.png")
        self._client.log_text(run, json.dumps(result.record, indent=2), "record.json")
        self._client.set_terminated(run, "FINISHED")

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Log the error, and close the run as failed."""
        self._failed = True
        run = self._of(cell) if cell else self._main
        self._client.set_tag(run, "error", error)
        self._client.set_terminated(run, "FAILED")

    def run_done(self, report: Path | None) -> None:
        """Log the report, and close the run."""
        if report and self._report:
            self._client.log_artifact(self._main, str(report))
        self._client.set_terminated(self._main, "FAILED" if self._failed else "FINISHED")

    def _begin(self, name: str, tags: dict[str, str]) -> str:
        run = self._client.create_run(self._place, tags=tags, run_name=name)
        return str(run.info.run_id)

    def _of(self, cell: CellFacts) -> str:
        """Return the id of the cell's run, and begin it with its config if that is new."""
        if cell.id not in self._runs:
            tags = {"mlflow.parentRunId": self._main, "faceinv.cell": cell.id}
            self._runs[cell.id] = self._begin(name_of(cell), tags)
            for key, value in cell.config.items():
                text = value if isinstance(value, str) else json.dumps(value)
                self._client.log_param(self._runs[cell.id], key, text[:_LONGEST])
        return self._runs[cell.id]

    def _log(self, run: str, values: list[tuple[str, float, int]]) -> None:
        from time import time

        made, now = self._mlflow.entities.Metric, int(time() * 1000)
        metrics = [made(name, value, now, step) for name, value, step in values]
        for first in range(0, len(metrics), _MOST):
            self._client.log_batch(run, metrics=metrics[first : first + _MOST])
