"""A further critic whose weights cannot be fetched is left out; a run needs only the first."""

from __future__ import annotations

import json
from pathlib import Path

TOY = [
    "bench", "--encoder", "toy", "--generator", "toy-faces", "--dataset", "toy-targets", "--losses", "id",
    "--limit", "3", "--steps", "2", "--pairs", "100", "--metric", "id_sim_critic", "--metric", "success", "--offline",
]  # fmt: skip


def test_a_run_goes_on_with_the_first_critic_and_says_so(run, cache: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run(*TOY, "--critic", "toy.critic,sface", "--out", out)
    assert result.code == 0, result.err
    said = [line for line in result.err.splitlines() if "Without the critic" in line]
    assert len(said) == 1
    assert "sface.opencv" in said[0]
    assert "--offline" in said[0]
    (path,) = (out / "cells").glob("*.json")
    record = json.loads(path.read_text())
    assert list(record["left_out"]) == ["critic:sface.opencv"]
    assert record["weights"]["sface.opencv/onnx"] == "not here"
    assert set(record["recognition"]) == {"attacked", "critic"}
    assert {row["role"] for row in record["success"]} == {"attacked", "critic"}
    written = path.stat().st_mtime_ns
    assert run(*TOY, "--critic", "toy.critic,sface", "--out", out).code == 0
    assert [(item, item.stat().st_mtime_ns) for item in (out / "cells").glob("*.json")] == [(path, written)]
    page = run("report", out)
    assert page.code == 0, page.err
    assert "<strong>critic:sface.opencv</strong> was not scored" in (out / "report.html").read_text()


def test_the_first_critic_is_needed(run, cache: Path, tmp_path: Path) -> None:
    result = run(*TOY, "--critic", "sface,toy.critic", "--out", tmp_path / "run")
    assert result.code == 4
    assert "sface.opencv/onnx" in result.err
