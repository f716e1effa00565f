"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import ReporterSpec


@hookimpl
def faceinv_reporters() -> list[ReporterSpec]:
    def reporter(name: str, summary: str, target: str) -> ReporterSpec:
        return ReporterSpec(name=name, summary=summary, target=f"faceinv_trackers.{target}", licence="MIT")

    return [
        reporter("tensorboard", "Event files for TensorBoard, in the run folder", "tensorboard:TensorBoard"),
        reporter("mlflow", "An MLflow run, by default in a local file store", "mlflow:MLflow"),
        reporter("wandb", "A Weights & Biases run, by default offline", "wandb:WandB"),
    ]
