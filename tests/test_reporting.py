"""Reporters receive the events of a run, and can neither stop it nor reach its results."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import faceinv
from faceinv.bench.reporting import Reporters
from faceinv.contracts import ReporterSpec, RunReporter
from faceinv.errors import UsageError
from faceinv.plugins import Host
from faceinv.plugins.options import parse_reporter
from faceinv.testing import toy

TOY = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets", "losses": "id",
    "limit": 5, "batch_size": 2, "steps": 3, "pairs": 200, "metrics": ["psnr", "id_sim_critic"],
}  # fmt: skip
BENCH = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--losses", "id", "--limit", "5", "--batch-size", "2", "--steps", "3", "--pairs", "200",
    "--metric", "psnr", "--metric", "id_sim_critic",
]  # fmt: skip
SOURCE = """
import json, os, sys, time
import faceinv
from faceinv.contracts import ReporterSpec, RunReporter

class Notes(RunReporter):
    def __init__(self, fail="", slow=0.0):
        self.fail, self.slow = fail, slow
        for name in ("run_started", "cell_started", "batch_done", "cell_done", "failed", "run_done"):
            setattr(self, name, lambda *given, name=name: self.note(name, *given))

    def note(self, name, *given):
        print("a line that is no result")
        if name == "run_started":
            self.out = given[0].out
        if name == self.fail:
            raise SystemExit(3)
        time.sleep(self.slow)
        event = {"event": name, "pid": os.getpid()}
        if name == "batch_done":
            event |= {"rows": list(given[1].rows), "done": given[1].done, "scores": given[1].scores}
        if name == "cell_done":
            event |= {"psnr": given[1].record["metrics"]["psnr"], "cached": given[1].cached}
            event |= {"pictures": [item.reconstruction.is_file() for item in given[1].pictures]}
        if name == "failed":
            event |= {"error": given[0], "cell": given[1] and given[1].label}
        if name == "run_done":
            event |= {"report": given[0] and given[0].is_file()}
        with open(self.out / "notes.jsonl", "a") as file:
            file.write(json.dumps(event) + "\\n")

@faceinv.hookimpl
def faceinv_reporters():
    return [ReporterSpec(name="notes", summary="Notes", target="noting:Notes", licence="MIT")]
"""


@pytest.fixture(scope="module")
def noting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a plugin with the reporter ``notes``."""
    path = tmp_path_factory.mktemp("plugin") / "noting.py"
    path.write_text(SOURCE)
    return path


def _notes(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "notes.jsonl").read_text().splitlines()]


def test_a_run_tells_its_events_in_order_and_keeps_its_output(
    run: Callable[..., Any], cache: Path, tmp_path: Path, noting: Path
) -> None:
    out = tmp_path / "run"
    result = run("--plugin", noting, *BENCH, "--out", out, "--reporter", "notes:slow=0.05", "--json")
    assert result.code == 0, result.err
    (row,) = result.json
    events = _notes(out)
    names = [event["event"] for event in events]
    assert names == ["run_started", "cell_started", *["batch_done"] * 3, "cell_done", "run_done"]
    assert [event["rows"] for event in events[2:5]] == [[0, 1], [2, 3], [4]]
    assert [event["done"] for event in events[2:5]] == [2, 4, 5]
    whole = sum(event["scores"]["psnr"] * len(event["rows"]) for event in events[2:5]) / 5
    assert whole == pytest.approx(row["metrics"]["psnr"]["mean"])
    assert events[5]["psnr"]["low"] == row["metrics"]["psnr"]["low"]
    assert events[5]["pictures"] == [True] * 5
    assert events[6]["report"] is True
    # The reporter is no part of the cell: nothing is computed again without it, or with another one.
    again = run("--plugin", noting, *BENCH, "--out", out, "--reporter", "notes:fail=cell_done")
    assert again.code == 0
    assert [event["event"] for event in _notes(out)[7:]] == ["run_started"]
    (warning,) = [line for line in again.err.splitlines() if "reporter" in line]
    assert "'notes' of " in warning
    assert "cell_done(): SystemExit: 3" in warning


def test_from_python_too(cache: Path, tmp_path: Path, noting: Path) -> None:
    host = Host(paths=[noting])
    host.register(toy, "toy", "toy 0")
    found = faceinv.run(TOY, host=host, out=tmp_path / "run", reporter="notes")
    assert len(list(found.columns)) == 1
    events = _notes(tmp_path / "run")
    assert [event["event"] for event in events][-2:] == ["cell_done", "run_done"]
    assert events[-1]["report"] is True
    with pytest.warns(UserWarning, match=r"'notes' of .* gets no more of this run.*run_started\(\): SystemExit"):
        faceinv.run(TOY, host=host, out=tmp_path / "run", reporter=["notes:fail=run_started"])


def test_a_failed_cell_and_a_failed_run(run, cache: Path, tmp_path: Path, noting: Path) -> None:
    out = tmp_path / "run"
    failing = [*BENCH[:-4], "--metric", "psnr", "--method", "mapping", "--generator", "toy-faces"]
    result = run("--plugin", noting, *failing, "--weights", "toy=nowhere.pth", "--out", out, "--reporter", "notes")
    assert result.code
    events = _notes(out) if (out / "notes.jsonl").exists() else []
    assert [event["event"] for event in events][-2:] == ["failed", "run_done"]
    assert events[-2]["cell"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("note", "Did you mean 'notes'"),
        ("notes:slow", "'slow' has no '='"),
        ("notes:slw=1", "Did you mean 'slow'"),
        ("notes:slow=much", "slow must be a number"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(noting: Path, given: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_reporter(Host(paths=[noting]), given)
    assert message in str(raised.value)


def test_options_may_hold_addresses(noting: Path) -> None:
    spec, options = parse_reporter(Host(paths=[noting]), "notes:fail=http://host:5000/a,slow=1.5")
    assert isinstance(spec, ReporterSpec)
    assert options == {"fail": "http://host:5000/a", "slow": 1.5}


class _Down(RunReporter):
    """A reporter whose tracker does not answer."""

    def __init__(self) -> None:
        self.hung = threading.Event()

    def run_done(self, report: Path | None) -> None:
        self.hung.wait(20)


class _Slow(RunReporter):
    def __init__(self) -> None:
        self.seen: list[str] = []

    def failed(self, error: str, cell: object) -> None:
        time.sleep(0.01)
        self.seen.append(error)


def test_a_slow_reporter_loses_nothing_and_one_that_hangs_is_dropped() -> None:
    down, slow, said = _Down(), _Slow(), []
    began = time.monotonic()
    with Reporters([("'down' of x 1", down), ("'slow' of y 2", slow)], say=said.append, patience=0.5) as reporters:
        reporters.run_done(None)
        for number in range(20):
            reporters.failed(str(number), None)
        assert time.monotonic() - began < 0.2
    assert slow.seen == [str(number) for number in range(20)]
    (warning,) = said
    assert "'down' of x 1" in warning
    assert "within 0.5 seconds" in warning
    down.hung.set()


def test_an_interrupted_run_is_told() -> None:
    slow = _Slow()
    with pytest.raises(KeyboardInterrupt), Reporters([("'slow' of y 2", slow)]):
        raise KeyboardInterrupt
    assert slow.seen == ["interrupted"]
