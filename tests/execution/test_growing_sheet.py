"""Pictures can be looked at while a run goes on: targets, then starts, then the reconstructions of each batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.setup import make_runner
from faceinv.cli.pictures import GrowingSheet
from faceinv.execution.local import InProcess
from faceinv.execution.scheduler import GridRun
from faceinv.plugins import Host
from faceinv.weights import WeightStore

CONFIG = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets", "limit": 4,
    "batch_size": 2, "steps": 3, "pairs": 200, "losses": ["id", "id,brightness"], "metrics": "mse",
}  # fmt: skip


def grid_run(host: Host, out: Path, **changed: Any) -> GridRun:
    config, source = load_config(None, CONFIG | {"out": out} | changed)
    grid = cells(config, host, source)
    runner = make_runner(host, WeightStore(host), config, grid)
    return GridRun(runner, grid, InProcess(runner, grid))


def watched(run: GridRun) -> tuple[list[str], list[tuple[int, int, int]]]:
    """Run a grid; return what was said, and the numbers of targets, starts and reconstructions on each sheet."""
    said: list[str] = []
    shown: list[tuple[int, int, int]] = []
    now = iter(range(0, 10_000, 10))
    sheet = GrowingSheet(run, said.append, lambda: next(now))

    def look() -> None:
        sheet.refresh()
        strips = sheet._strips()
        numbers = [sum(file is not None for file in strip.files) for strip in strips]
        shown.append((numbers[0], numbers[1], sum(numbers[2:])))

    run.on_pictures = look
    run.run()
    return said, shown


def test_the_sheet_grows_batch_by_batch(host: Host, cache: Path, tmp_path: Path) -> None:
    said, shown = watched(grid_run(host, tmp_path))
    assert said == [f"pictures appear in {tmp_path / 'contact.png'}"]
    # Targets alone; starts of a batch before its reconstructions; and so on for the second cell.
    assert list(dict.fromkeys(shown)) == [(4, 0, 0), (4, 2, 0), (4, 4, 2), (4, 4, 4), (4, 4, 6)]
    with Image.open(tmp_path / "contact.png") as sheet:
        assert sheet.width > 4 * 128


def test_starts_change_no_result_and_go_to_no_finished_batch(
    host: Host, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = grid_run(host, tmp_path / "one", losses="id")
    (outcome,) = run.run()
    folder = run.runner.folder
    digests = {name: value for name, value in outcome.record.digests.items() if name.endswith(".png")}
    assert set(digests) == {f"{row:05d}{what}.png" for row in range(4) for what in ("-target", "-start", "")}
    assert not list(folder.changed(outcome.record))
    # A batch that is computed again finds its part, written by another process, and leaves its pictures alone.
    other = grid_run(host, tmp_path / "two", losses="id")
    written: list[str] = []
    original: Callable[..., Any] = other.runner._write_images
    monkeypatch.setattr(
        other.runner,
        "_write_images",
        lambda *args: written.append("early" if len(args) == 4 else "all") or original(*args),
    )
    named = other.runner.resources.name(other.cells[0])
    other.runner.compute(named, range(2))
    other.runner.compute(named, range(2))
    assert written == ["early", "all", "all"]


def test_a_method_without_a_regressor_shows_targets_until_its_batch_is_done(
    host: Host, cache: Path, tmp_path: Path
) -> None:
    _, shown = watched(grid_run(host, tmp_path, losses="id", method="pixel"))
    assert list(dict.fromkeys(shown)) == [(4, 0, 0), (4, 2, 2)]
