"""Checks of reporters: they take every event of a run, and leave its results alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faceinv.contracts.reporting import BatchFacts, CellFacts, CellResult, Picture, RunFacts, RunReporter
from faceinv.data.images import write_image
from faceinv.storage.hashing import file_sha256
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.faces import draw_faces
from faceinv.testing.subjects import Subject

#: A mean with its interval, and one of a single target, which has none.
_SCORES = {
    "psnr": {"mean": 12.5, "low": 11.0, "high": 14.0, "n": 2, "unit": "dB", "higher_is_better": True},
    "id_sim_critic:other.net": {
        **{"mean": 0.5, "low": None, "high": None, "n": 1, "unit": "1", "higher_is_better": True},
        "encoder": "other.net",
    },
    "ssim": {"mean": None, "low": None, "high": None, "n": 0, "unit": "1", "higher_is_better": True},
}
_SUCCESS = {"role": "critic", "encoder": "toy.critic", "fmr": 0.001, "type": "I", "share": None, "low": None}


def _cell(number: int) -> CellFacts:
    config = {"encoder": "toy.attacked", "method": "latent-adam", "losses": ["id", "lm"], "steps": 3, "limit": 2}
    return CellFacts(id=f"{number:016x}", label=f"toy {number}", number=number, config=config, n=2)


def _result(folder: Path, cell: CellFacts, *, cached: bool) -> CellResult:
    """Return a finished cell with its files, as a run writes them."""
    place = folder / "cells" / cell.id
    place.mkdir(parents=True, exist_ok=True)
    pictures = []
    for row, face in enumerate(draw_faces(2)):
        files = place / f"{row:05d}-target.png", place / f"{row:05d}.png"
        for file in files:
            write_image(face, file)
        pictures.append(Picture(name=f"somebody/{row} é", target=files[0], reconstruction=files[1]))
    trajectory = {"total": [3.0, None, 1.0], "id": [1.0, 0.5, 0.25]}
    record = {"id": cell.id, "status": "ok", "n": 2, "config": dict(cell.config), "metrics": _SCORES}
    record |= {"success": [_SUCCESS], "trajectory": trajectory, "warnings": [], "seconds": {"invert": 1.5}}
    (folder / "cells" / f"{cell.id}.json").write_text(json.dumps(record), encoding="utf-8")
    return CellResult(record=record, pictures=pictures, cached=cached)


def _events(folder: Path) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Yield the events of a run with a finished, a cached and two failed cells, one of them before it began."""
    cells = [_cell(number) for number in (1, 2, 3, 4)]
    config = {"encoder": ["toy"], "losses": ["id,lm"], "weights": {}, "out": str(folder)}
    yield "run_started", (RunFacts(out=folder, config=config, cells=4),)
    yield "cell_started", (cells[0],)
    for done in (1, 2):
        batch = BatchFacts(rows=range(done - 1, done), done=done, scores={"psnr": 12.0, "id_sim_critic:other.net": 0.5})
        yield "batch_done", (cells[0], batch)
    yield "cell_done", (cells[0], _result(folder, cells[0], cached=False))
    yield "cell_done", (cells[1], _result(folder, cells[1], cached=True))
    yield "cell_started", (cells[2],)
    yield "failed", ("toy: the weights are missing.", cells[2])
    yield "failed", ("toy: unknown.", cells[3])
    report = folder / "report.html"
    report.write_text("<!doctype html><title>a report</title>", encoding="utf-8")
    yield "run_done", (report,)


def _tell(reporter: RunReporter, folder: Path, whose: str) -> None:
    """Hand the events of a run to a reporter.

    Raises:
        CheckFailed: if it raises an exception.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in _events(folder):
        try:
            getattr(reporter, name)(*arguments)
        except Exception as error:
            raise CheckFailed(f"{whose} fails in {name}(): {type(error).__name__}: {error}") from error


def _digests(folder: Path) -> dict[str, str]:
    files = [*folder.glob("cells/**/*"), folder / "report.html"]
    return {str(file.relative_to(folder)): file_sha256(file) for file in files if file.is_file()}


@check("reporter", fix="Derive it from faceinv.contracts.RunReporter, whose methods do nothing.")
def has_a_method_for_every_event(subject: Subject) -> None:
    """It is a RunReporter, so that it has a method for every event, also for those that later versions add."""
    made = subject.built
    require(isinstance(made, RunReporter), f"{subject}: {subject.spec.target} made {type(made).__name__}.")


@check(
    "reporter",
    fix="Expect numbers that are None, names with any letter in them, cells without a start, and a second run.",
)
def takes_every_event(subject: Subject) -> None:
    """It takes two whole runs in one folder, with scores that do not exist, and cached and failed cells."""
    for _ in range(2):
        _tell(subject.build(), subject.folder / "run", str(subject))


@check("reporter", fix="Keep what you need until the events that you do get; nothing but run_started is certain.")
def takes_a_run_that_ends_early(subject: Subject) -> None:
    """It takes a run that fails or ends before any cell begins, without a report."""
    for last in (("failed", ("interrupted", None)), ("run_done", (None,))):
        folder = subject.folder / f"early-{last[0]}"
        folder.mkdir(exist_ok=True)
        reporter = subject.build()
        try:
            for name, arguments in (next(_events(folder)), last):
                getattr(reporter, name)(*arguments)
        except Exception as error:
            raise CheckFailed(f"{subject} fails in {last[0]}(): {type(error).__name__}: {error}") from error


@check("reporter", fix="Write to files of your own, such as a folder in RunFacts.out, and only read the run's.")
def leaves_results_alone(subject: Subject) -> None:
    """It changes, moves and removes no record, picture or report."""
    folder, expected = subject.folder / "alone", subject.folder / "untouched"
    _tell(subject.build(), folder, str(subject))
    for _ in _events(expected):
        pass
    wrong = sorted(name for name, digest in _digests(expected).items() if _digests(folder).get(name) != digest)
    require(not wrong, f"{subject} changes or removes {wrong[0] if wrong else ''} of the run.")
