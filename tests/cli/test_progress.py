"""One display for a whole command: what is done, and how long the command will still take."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from faceinv.bench.phases import FETCHING, Phase
from faceinv.cli.progress import Display
from faceinv.cli.timetable import Timetable
from faceinv.testing import toy

PHASES = [
    Phase("embedding", 100),
    Phase("probe", 50),
    Phase("cell 1 of 2", 60, "inverting"),
    Phase("cell 2 of 2", 60, "inverting"),
]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_time_left_follows_the_measured_speed() -> None:
    clock = Clock()
    table = Timetable(PHASES, clock)
    assert table.left == pytest.approx(270)
    table.report("embedding samples", 0, 1000)
    for done in range(100, 1001, 100):
        clock.now += 30  # three times as long as usual
        table.report("embedding samples", done, 1000)
    assert table.left == pytest.approx(3 * 170, rel=0.1)
    assert table.share == pytest.approx(300 / 810, rel=0.1)
    # What a cache holds is skipped.
    table.report("cell 1 of 2: adam, image-steps", 0, 10)
    assert table.left == pytest.approx(3 * 120, rel=0.1)
    # The second cell will be as fast as the first.
    clock.now += 6
    table.report("cell 1 of 2: adam, image-steps", 10, 10)
    assert table.left == pytest.approx(6, rel=0.6)


def test_what_an_earlier_run_did_says_nothing_about_the_speed() -> None:
    clock = Clock()
    table = Timetable(PHASES, clock)
    table.report("cell 1 of 2: adam", 9, 10)
    clock.now += 12
    table.report("cell 1 of 2: adam", 10, 10)
    assert table.left == pytest.approx(120, rel=0.2)


def test_cells_that_workers_compute_together_all_count() -> None:
    table = Timetable(PHASES, Clock())
    table.report("cell 1 of 2: adam", 1, 2)
    table.report("cell 2 of 2: adam", 1, 2)
    table.report("cell 1 of 2: adam", 1, 2)
    assert table.left == pytest.approx(60)


def test_a_slow_network_says_nothing_about_the_processor() -> None:
    clock = Clock()
    table = Timetable([Phase(f"{FETCHING}a", 10, FETCHING), Phase("probe", 50)], clock)
    table.report("fetching a", 0, 10)
    clock.now += 1000
    table.report("fetching a", 10, 10)
    assert table.left == pytest.approx(50)


def test_plain_output_gets_a_line_every_ten_seconds() -> None:
    clock, out = Clock(), io.StringIO()
    display = Display(Console(file=out, width=100), [Phase("landmarks probe", 60)], clock)
    with display.shown():
        for done in range(31):
            display("landmarks probe", done, 100)
            clock.now += 1
    lines = out.getvalue().splitlines()
    assert [line.split(";")[0] for line in lines] == [f"landmarks probe: {done}/100" for done in (10, 20, 30)]
    assert lines[-1].endswith("about 70 s left")


def test_a_short_command_prints_no_progress(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    args = ("train", "--encoder", "toy", "--generator", "toy-faces", "--losses", "id,brightness", "--pairs", "200")
    result = run(*args, "--out", tmp_path)
    assert result.code == 0
    assert " left" not in result.err


def test_on_a_terminal_results_stay_clean(cache: Path, tmp_path: Path) -> None:
    """The bar is on standard error, a terminal; the results go to a pipe."""
    ours, theirs = pty.openpty()
    command = [
        sys.executable, "-m", "faceinv", "--plugin", toy.__file__, "bench", "--encoder", "toy",
        "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
        "--limit", "3", "--batch-size", "2", "--steps", "4",
        "--pairs", "200", "--losses", "id", "--metric", "mse", "--json", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=theirs, env=os.environ | {"TERM": "xterm"}
    ) as process:
        os.close(theirs)
        shown = b""
        while True:
            try:
                read = os.read(ours, 4096)
            except OSError:
                break
            if not read:
                break
            shown += read
        assert process.stdout is not None
        out = process.stdout.read()
    os.close(ours)
    assert out.startswith(b"[\n")
    assert out.endswith(b"]\n")
    assert b"\x1b" not in out
    assert re.search(rb"about \d+ s left", shown)
