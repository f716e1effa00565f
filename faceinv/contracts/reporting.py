"""Reporters of runs: what a run tells them, such as an experiment tracker, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run that starts.

    Args:
        out: The run folder, which exists.
        config: The config, as JSON has it.
        cells: Number of cells.
    """

    out: Path
    config: Mapping[str, Any]
    cells: int


@dataclass(frozen=True, kw_only=True)
class CellFacts:
    """A cell of the run.

    Args:
        id: Its id.
        label: What it is, in a few words: encoder, generator, method, losses and what else differs.
        number: Its number in the run, from 1.
        config: Its resolved config, as in the record.
        n: Number of targets; 0 if the cell failed before they were known.
    """

    id: str
    label: str
    number: int
    config: Mapping[str, Any]
    n: int


@dataclass(frozen=True, kw_only=True)
class BatchFacts:
    """A batch of targets that was inverted and scored.

    Args:
        rows: Its targets among the cell's.
        done: Number of the cell's targets that are done, with those of earlier batches.
        scores: Mean over the batch of each score of pairs; scores of all targets together come with the record.
    """

    rows: range
    done: int
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """The files of one target, PNG, in the run folder.

    Args:
        name: Name of the target.
        target: The image that leaked.
        reconstruction: What was rebuilt from its descriptor.
    """

    name: str
    target: Path
    reconstruction: Path


@dataclass(frozen=True, kw_only=True)
class CellResult:
    """A finished cell.

    Args:
        record: Its record, as in its JSON file; ``record["metrics"]`` has ``mean``, ``low``, ``high`` and ``n`` by
            score, where ``None`` stands for a number that does not exist.
        pictures: The pictures of every target.
        cached: Whether an earlier run computed it.
    """

    record: Mapping[str, Any]
    pictures: Sequence[Picture]
    cached: bool


class RunReporter:
    """Receives the events of a run, one after the other, in a thread of its own; override those that you need.

    A method may take its time: the run does not wait for it, and loses nothing. If a method raises an exception, the
    user gets one warning and the reporter no more events; the run goes on.
    """

    def run_started(self, run: RunFacts) -> None:
        """Receive what will be computed; always the first event."""

    def cell_started(self, cell: CellFacts) -> None:
        """Receive a cell whose batches come next; one that is finished already, or fails before that, has no start."""

    def batch_done(self, cell: CellFacts, batch: BatchFacts) -> None:
        """Receive the scores of a batch, in the order in which workers finish."""

    def cell_done(self, cell: CellFacts, result: CellResult) -> None:
        """Receive a finished cell; with ``cached=True`` it had no batches in this run."""

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Receive the error of a cell, in one line; without a cell, the error that ended the run, as the last event."""

    def run_done(self, report: Path | None) -> None:
        """Receive the run's HTML page, if there is one; the last event of a run that was not interrupted."""
