"""Commands that share a run folder agree on its cells, and none destroys what another has finished."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from faceinv.bench.cell import Cell
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.resources import Resources
from faceinv.bench.runner import Runner
from faceinv.cli import main
from faceinv.errors import Failure
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage.parts import Parts
from faceinv.storage.records import FinishedCell
from faceinv.storage.run_folder import RunFolder
from faceinv.testing import toy
from faceinv.weights import WeightStore

CONFIG = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets", "losses": "id",
    "limit": 6, "steps": 4, "pairs": 200, "metrics": ["mse"],
}  # fmt: skip
GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "6", "--batch-size", "2", "--steps", "4", "--pairs", "200", "--losses", "id", "--metric", "mse",
]  # fmt: skip


def _bench(barrier: Any, arguments: Sequence[str]) -> None:
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    barrier.wait()
    main(["--plugin", str(toy.__file__), *arguments])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="starts processes from a warm one")
@pytest.mark.parametrize("shards", [False, True])
def test_commands_in_one_folder_give_the_cell_of_a_single_one(
    run: Callable[..., Any], cache: Path, tmp_path: Path, shards: bool
) -> None:
    assert run(*GRID, "--out", tmp_path / "alone").code == 0
    fork = multiprocessing.get_context("fork")
    for number in range(2):
        out, barrier = tmp_path / str(number), fork.Barrier(3)
        own = [("--shard", f"{place}/3") if shards else () for place in (1, 2, 3)]
        processes = [fork.Process(target=_bench, args=(barrier, [*GRID, *some, "--out", str(out)])) for some in own]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert cell_of(out) == cell_of(tmp_path / "alone")


def cell_of(out: Path) -> dict[str, Any]:
    """Return the record without times, and all other files of the only cell but the lock."""
    (path,) = (out / "cells").glob("*.json")
    record = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
    files = {file for file in (out / "cells").rglob("*.*") if file.suffix not in (".lock", ".json")}
    return {str(file.relative_to(out)): file.read_bytes() for file in files} | {"record": record}


@pytest.fixture
def runner(host: Host, cache: Path, tmp_path: Path) -> Runner:
    loader = Loader(host, WeightStore(host, cache=cache))
    return Runner(Resources(loader, RunFolder(tmp_path / "run"), cache=cache / "trained", probes=[]), batch_size=2)


@pytest.fixture
def cell(host: Host) -> Cell:
    config, source = load_config(None, CONFIG)
    return cells(config, host, source)[0]


def test_a_finished_cell_stays_whatever_happens_to_other_processes(runner: Runner, cell: Cell) -> None:
    named = runner.resources.name(cell)
    for rows in runner.batches(named):
        runner.compute(named, rows)
    record, parts = runner.finish(named), Parts(runner.folder, named.id)
    path = runner.folder.record_path(named.id)
    before = path.read_bytes()
    # A process that failed.
    outcome = runner.failed(cell, named, Failure("out of memory"))
    assert (outcome.record, path.read_bytes()) == (record, before)
    # One that was killed after the record was written, and one that still computes a batch.
    parts.path.mkdir()
    runner.compute(named, range(2))
    assert not parts.path.exists()
    # One that failed to compute damaged rows anew: the rest of the record is kept.
    runner.folder.rows_path(named.id).unlink()
    assert runner.failed(cell, named, Failure("out of memory")).record.status == "failed"
    assert isinstance(runner.folder.read(named.id), FinishedCell)
    assert path.read_bytes() == before
