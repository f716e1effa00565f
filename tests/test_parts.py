"""A cell in parts: which process computed which batch cannot be seen in its record, to the last bit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from faceinv.attack.objective import prepared_objective
from faceinv.bench.cell import Cell
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.naming import code_of
from faceinv.bench.resources import Resources
from faceinv.bench.runner import Outcome, Runner
from faceinv.contracts import Reporter
from faceinv.errors import InputError
from faceinv.execution.local import InProcess
from faceinv.execution.scheduler import GridRun
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage.parts import Part, Parts, put_together
from faceinv.storage.records import FinishedCell
from faceinv.storage.run_folder import RunFolder
from faceinv.weights import WeightStore

CONFIG = {
    "encoder": "toy",
    "critic": "toy.critic",
    "generator": "toy-faces",
    "dataset": "toy-targets",
    "losses": "id,brightness",
    "limit": 10,
    "steps": 4,
    "pairs": 200,
    "metrics": ["mse", "id_sim_attacked", "id_sim_critic", "success", "identification"],
}


@pytest.fixture
def cell(host: Host) -> Cell:
    config, source = load_config(None, CONFIG)
    return cells(config, host, source)[0]


def fresh(host: Host, cache: Path, out: Path, batch_size: int | Literal["auto"] = 4) -> Runner:
    """A runner as another process would have it: nothing is shared but the folders."""
    loader = Loader(host, WeightStore(host, cache=cache))
    resources = Resources(loader, RunFolder(out), cache=cache / "trained", probes=["brightness"])
    return Runner(resources, batch_size=batch_size)


def ran(runner: Runner, cell: Cell, progress: Reporter | None = None) -> Outcome:
    """The outcome of a grid of one cell."""
    (outcome,) = GridRun(runner, [cell], InProcess(runner, [cell]), progress=progress).run()
    return outcome


def everything(out: Path) -> dict[str, Any]:
    """All that a run left behind, but for how long it took."""
    found: dict[str, Any] = {}
    for path in sorted((out / "cells").rglob("*.*")):
        if path.suffix == ".lock":
            continue
        if path.suffix == ".json":
            record = json.loads(path.read_text())
            del record["seconds"]
            found[path.name] = record
        elif path.suffix == ".npz":
            with np.load(path) as archive:
                found[path.name] = {name: archive[name].tobytes() for name in archive.files}
        else:
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


def computed(host: Host, cache: Path, out: Path, cell: Cell, order: Sequence[int]) -> None:
    """Compute the batches in this order, each by a runner of its own, and the record by another."""
    for number in order:
        runner = fresh(host, cache, out)
        named = runner.resources.name(cell)
        runner.compute(named, runner.batches(named)[number])
    runner = fresh(host, cache, out)
    named = runner.resources.name(cell)
    assert runner.missing(named) == []
    runner.finish(named)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_batches_computed_apart_make_the_record_of_the_whole(
    host: Host, cache: Path, tmp_path: Path, cell: Cell, order: Sequence[int]
) -> None:
    outcome = ran(fresh(host, cache, tmp_path / "whole"), cell)
    assert isinstance(outcome.record, FinishedCell)
    assert (outcome.record.n, outcome.record.batch_size) == (10, 4)
    computed(host, cache, tmp_path / "parts", cell, order)
    whole, parts = everything(tmp_path / "whole"), everything(tmp_path / "parts")
    assert len(whole) == 1 + 1 + 1 + 3 * 10
    assert whole == parts


def test_a_cell_is_named_once_and_its_batches_share_an_objective(
    host: Host, cache: Path, tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            calls.append(function.__name__)
            return function(*args, **options)

        return call

    monkeypatch.setattr("faceinv.bench.methods.prepared_objective", counted(prepared_objective))
    monkeypatch.setattr("faceinv.bench.resources.code_of", counted(code_of))
    assert ran(fresh(host, cache, tmp_path), cell).record.status == "ok"
    assert sorted(calls) == ["code_of", "prepared_objective"]


def test_a_run_goes_on_in_the_middle_of_a_cell(host: Host, cache: Path, tmp_path: Path, cell: Cell) -> None:
    runner = fresh(host, cache, tmp_path)
    named = runner.resources.name(cell)
    runner.compute(named, range(4, 8))
    # A part that was cut off counts as not there.
    runner.compute(named, range(0, 4))
    broken = Parts(runner.folder, named.id).part_path(range(0, 4))
    broken.write_bytes(broken.read_bytes()[:300])
    assert runner.missing(named) == [range(0, 4), range(8, 10)]
    steps: list[tuple[str, int, int]] = []
    again = fresh(host, cache, tmp_path)
    outcome = ran(again, cell, lambda *at: steps.append(at))
    assert isinstance(outcome.record, FinishedCell)
    shown = [(done, of) for what, done, of in steps if "image-steps" in what]
    assert (shown[0], shown[-1]) == ((16, 40), (40, 40))
    assert not Parts(runner.folder, named.id).path.exists()


def test_batches_of_another_size_are_computed_anew(host: Host, cache: Path, tmp_path: Path, cell: Cell) -> None:
    runner = fresh(host, cache, tmp_path)
    runner.compute(runner.resources.name(cell), range(4))
    other = fresh(host, cache, tmp_path, batch_size=5)
    assert other.missing(other.resources.name(cell)) == [range(0, 5), range(5, 10)]
    outcome = ran(other, cell)
    assert isinstance(outcome.record, FinishedCell)
    assert outcome.record.batch_size == 5


def test_a_machine_that_chooses_goes_on_with_the_batches_that_are_there(
    host: Host, cache: Path, tmp_path: Path, cell: Cell
) -> None:
    runner = fresh(host, cache, tmp_path, batch_size=3)
    named = runner.resources.name(cell)
    runner.compute(named, range(3))
    assert fresh(host, cache, tmp_path, "auto").missing(named) == [range(3, 6), range(6, 9), range(9, 10)]
    assert fresh(host, cache, tmp_path / "elsewhere", "auto").missing(named) == [range(0, 10)]


def test_a_missing_part_is_said(host: Host, cache: Path, tmp_path: Path, cell: Cell) -> None:
    runner = fresh(host, cache, tmp_path)
    named = runner.resources.name(cell)
    runner.compute(named, range(4))
    with pytest.raises(InputError, match="00004-00008"):
        runner.finish(named)


def part(values: Sequence[float], trajectory: Sequence[float] = (), **facts: Any) -> Part:
    known = {
        "targets": "t",
        "batch_size": 2,
        "learned": {},
        "learned_hash": "r",
        "queries": 3,
        "image_steps": 2,
        "queries_sum": 5,
        "image_steps_sum": 4,
        "n": 2,
        "seconds": {"invert": 1.0},
        "digests": {},
    } | facts
    return Part({}, {}, {"mse": np.array(values)}, {}, {"id": np.array(trajectory)}, known)


def test_parts_are_joined_in_order() -> None:
    whole = put_together([part([1, 2], [4, 2]), part([3], [1, 1], queries=4)], "cell")
    assert whole.columns["mse"].tolist() == [1, 2, 3]
    assert whole.trajectory["id"].tolist() == [5, 3]
    assert [whole.facts[key] for key in ("queries", "image_steps", "seconds")] == [4, 2, {"invert": 2.0}]
    assert whole.facts["seconds_a_target"] == [0.5, 0.5]
    assert [whole.facts[key] for key in ("queries_sum", "image_steps_sum")] == [10, 8]


@pytest.mark.parametrize(
    ("fact", "reason"),
    [("targets", "images differ"), ("batch_size", "different sizes"), ("learned_hash", "FACEINV_CACHE")],
)
def test_what_was_made_of_something_else_is_refused(fact: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        put_together([part([1]), part([2], **{fact: "another"})], "cell")


def test_no_more_images_are_held_than_a_batch(
    host: Host, cache: Path, tmp_path: Path, cell: Cell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceinv.data.targets import TargetFiles

    sizes: list[int] = []
    images: Callable[[TargetFiles, range], Any] = TargetFiles.images

    def counted(self: TargetFiles, rows: range) -> Any:
        sizes.append(len(rows))
        return images(self, rows)

    monkeypatch.setattr(TargetFiles, "images", counted)
    ran(fresh(host, cache, tmp_path), replace(cell, limit=30))
    assert sizes == [4] * 7 + [2]
