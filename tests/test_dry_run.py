"""A dry run prints what a run would do and how long it takes; it computes nothing of the run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.plan import plan
from faceinv.bench.setup import Setup
from faceinv.plugins import Host
from faceinv.testing import toy

GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "6", "--batch-size", "2", "--steps", "4", "--pairs", "200", "--losses", "id",
    "--metric", "mse",
]  # fmt: skip


def test_computed_cells_are_found_and_the_rest_is_estimated(
    run: Callable[..., Any], cache: Path, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "run")
    (before,) = run(*GRID, "--dry-run", "--json", "--device", "xpu:7", *out).json
    # A machine that lacks the run's device measures nothing.
    assert (before["status"], before["id"], before["basis"][:7]) == ("missing", None, "a guess")
    assert not (tmp_path / "run").exists()
    (row,) = run(*GRID, "--json", *out).json
    there, other = run(*GRID, "--seed", "0", "--seed", "1", "--dry-run", "--json", *out).json
    assert (there["status"], there["id"], there["seconds"]) == ("cached", row["id"], 0)
    assert (other["status"], other["basis"]) == ("missing", "measured in earlier cells")
    # Samples are determined by the weights and the seed; photographs may change.
    assert there["unknown"] == []
    shown = run(*GRID, "--seed", "0", "--seed", "1", "--dry-run", *out)
    assert row["id"] in shown.out
    assert "2 cells, 1 of them computed" in shown.err


def test_the_time_of_a_first_run_is_measured_and_told_by_phase(
    run: Callable[..., Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = ("--out", tmp_path / "run")
    longer = [*("40" if word == "4" else word for word in GRID), "--losses", "id,brightness", "--dry-run"]
    one, other = run(*longer, "--json", *out).json
    assert one["basis"] == "measured on this machine now"
    assert one["phases"].keys() == {"samples", "training", "inversion", "scores and report"}
    assert one["seconds"] == pytest.approx(sum(one["phases"].values()), abs=0.3)
    # Samples serve all cells: only what is new for the second one is left.
    assert other["phases"].keys() == {"training", "inversion", "scores and report"}
    shown = run(*longer, *out).err
    assert re.search(r"on one worker: samples \d+ s, training \d+ s, inversion \d+ s, scores and report \d+ s", shown)
    assert not (tmp_path / "run").exists()
    # What an earlier run learned is not learned again.
    assert run("train", *GRID[1:], "--out", tmp_path / "run").code == 0
    (row,) = run(*GRID, "--dry-run", "--json", *out).json
    assert row["phases"].keys() == {"inversion", "scores and report"}
    # With other code it is.
    monkeypatch.setattr("faceinv.bench.plan.core_hash", lambda **of: "another")
    (row,) = run(*GRID, "--dry-run", "--json", *out).json
    assert "samples" in row["phases"]


def test_networks_whose_files_are_not_here_are_timed_by_a_stand_in(
    run: Callable[..., Any], cache: Path, tmp_path: Path
) -> None:
    (row,) = run("bench", "--losses", "id", "--dry-run", "--json", "--out", tmp_path / "run").json
    assert "as for the default chain" in row["basis"]
    assert row["phases"]["downloads"] > 1
    assert row["phases"]["inversion"] > 0


def test_a_method_without_timings_is_estimated_by_its_access(
    run: Callable[..., Any], cache: Path, tmp_path: Path
) -> None:
    # In its own folder, because times are also read from sibling runs.
    out = tmp_path / "runs" / "one"
    longer = ["40" if word == "4" else word for word in GRID]
    dry = (*longer, "--method", "latent-adam,pixel,zeroth", "--dry-run", "--json", "--out", out)
    # A gradient needs a forward and a backward pass, a score only a forward pass.
    adam, pixel, zeroth = run(*dry, "--device", "xpu:7").json
    assert adam["seconds"] == pixel["seconds"] == 2 * zeroth["seconds"] > 0
    assert run(*GRID, "--limit", "2", "--out", out).code == 0
    record = next(out.glob("cells/*.json"))
    record.write_text(json.dumps(json.loads(record.read_text()) | {"seconds": {"invert": 20, "score": 4}}))
    adam, pixel, zeroth = run(*dry).json
    # Two targets with four steps each took 24 s, so six targets with forty take 720 s.
    assert (adam["seconds"], adam["basis"]) == (720, "measured in earlier cells")
    assert (pixel["seconds"], pixel["basis"]) == (720, "measured with other methods")
    assert zeroth["seconds"] == 360


def test_what_lies_beside_a_run_may_be_anything(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x" * 300)  # longer than a name may be: a stat of it is neither found nor missing
    assert run(*GRID, "--dry-run", "--json", "--out", tmp_path / "run").code == 0


def test_an_unfinished_cell_is_found(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    assert run(*GRID, "--shard", "1/3", "--out", tmp_path).code == 0
    (row,) = run(*GRID, "--dry-run", "--json", "--out", tmp_path).json
    assert (row["status"], row["targets_done"]) == ("begun", 2)


@pytest.mark.parametrize("kept", ["record", "part"])
def test_a_record_with_anything_wrong_in_it_is_not_there(
    run: Callable[..., Any], cache: Path, tmp_path: Path, kept: str
) -> None:
    assert run(*GRID, *(["--shard", "1/3"] if kept == "part" else []), "--out", tmp_path).code == 0
    (path,) = tmp_path.glob("cells/*/parts/cell.json" if kept == "part" else "cells/*.json")
    content = json.loads(path.read_text())
    wrong: list[Any] = [None, [], {}, -1, 1e300, "x", True]
    changed = [content | {key: value} for key in content for value in wrong]
    config, source = load_config(
        None,
        {
            "encoder": "toy",
            "critic": "toy.critic",
            "generator": "toy-faces",
            "dataset": "toy-targets",
            "limit": 6,
            "batch_size": 2,
            "steps": 4,
            "pairs": 200,
            "losses": "id",
            "metrics": "mse",
        },
    )
    host = Host(paths=[toy.__file__])
    grid = cells(config.model_copy(update={"out": tmp_path}), host, source)
    for value in [*changed, *wrong, {key: value for key, value in content.items() if key != "config"}]:
        path.write_text(json.dumps(value))
        (planned,) = plan(config.model_copy(update={"out": tmp_path}), grid, host, Setup().store(host))
        assert planned.status in ("cached", "begun", "missing")
    for text in ("", "{", "[" * 100_000, '{"a": NaN}'):
        path.write_text(text)
        assert run(*GRID, "--dry-run", "--json", "--out", tmp_path).json[0]["status"] == "missing"


def test_what_was_timed_before_is_estimated_without_torch(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from faceinv.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    # Without an earlier run there is something to measure.
    assert run(*GRID, "--out", tmp_path / "run").code == 0
    args = ("--plugin", toy.__file__, *GRID, "--seed", "1", "--dry-run", "--out", str(tmp_path / "run"))
    environment = os.environ | {"FACEINV_CACHE": str(cache)}
    subprocess.run([sys.executable, "-c", code, *args], env=environment, check=True, capture_output=True)
