"""The transfer matrix of a report, and what further critics say at its top."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from faceinv.report import critics, transfer
from faceinv.report.page import render
from faceinv.report.runs import Runs, read_runs
from faceinv.storage.run_folder import RunFolder

ENCODERS = ("arcface.mobilefacenet", "facenet.msceleb", "sface.opencv")
TARGETS = [f"person {index}" for index in range(12)]
Write = Callable[..., Path]


def attack(write_run: Write, folder: Path, attacked: str, shares: Mapping[str, float | None]) -> None:
    """Write a cell in which ``attacked`` leaked, accepted by each encoder in ``shares`` at a rate of 0.001."""
    judges = [name for name in shares if name != attacked]
    roles = {"attacked": attacked, "critic": judges[0], **{f"critic:{name}": name for name in judges[1:]}}
    write_run(folder, ("id",), encoder=attacked, critics=judges, targets=TARGETS, pictures=False)
    path = next(
        path for path in folder.glob("cells/*.json") if json.loads(path.read_text())["config"]["encoder"] == attacked
    )
    record = json.loads(path.read_text())
    blank = record["success"][3] | {"reason": None, "fmr": 0.001}
    record["recognition"] = {role: record["recognition"]["critic"] | {"encoder": name} for role, name in roles.items()}
    record["success"] = [
        blank | {"role": role, "encoder": name, "type": kind, "share": shares[name], "low": 0.1, "high": 0.9}
        | ({"reason": "too few pairs"} if shares[name] is None else {})
        for role, name in roles.items()
        for kind in ("I", "II")
    ]  # fmt: skip
    path.write_text(json.dumps(record))


@pytest.fixture
def runs(write_run: Write, tmp_path: Path) -> Runs:
    attack(write_run, tmp_path, ENCODERS[0], {ENCODERS[0]: 1.0, ENCODERS[1]: 0.25, ENCODERS[2]: 0.5})
    attack(write_run, tmp_path, ENCODERS[1], {ENCODERS[1]: 0.75, ENCODERS[0]: 0.5, ENCODERS[2]: None})
    return read_runs([tmp_path])


def test_a_matrix_has_a_share_for_each_attacked_encoder_and_judge(runs: Runs) -> None:
    (matrix,) = transfer.matrices(runs)
    shares = {
        name: {
            judge: (entry.share.mean.value if entry.share else entry.reason, entry.own)
            for judge, entry in zip(matrix.judges, entries, strict=True)
        }
        for name, entries in matrix.rows
    }
    assert shares == {
        ENCODERS[0]: {ENCODERS[0]: (1.0, True), ENCODERS[1]: (0.25, False), ENCODERS[2]: (0.5, False)},
        ENCODERS[1]: {ENCODERS[0]: (0.5, False), ENCODERS[1]: (0.75, True), ENCODERS[2]: ("too few pairs", False)},
    }
    assert (matrix.fmr, matrix.type, matrix.n) == ("0.001", "II", 12)


def test_the_page_shows_it_with_the_diagonal_framed(runs: Runs) -> None:
    page = render(runs, images=False)
    section = page[page.index('id="transfer0"') :].partition("</section>")[0]
    assert len(re.findall('class="shade"', section)) == 6
    assert len(re.findall('class="own"', section)) == 2
    assert "25 %" in section
    assert "too few pairs" in section


def test_it_is_exported_as_a_table(run, runs: Runs) -> None:
    result = run("export", runs.paths[0], "--format", "markdown", "--table", "transfer")
    assert result.code == 0, result.err
    rows = {line.split("|")[1].strip(): line for line in result.out.splitlines() if line.startswith("|")}
    assert "25 % [10, 90]" in rows[ENCODERS[0]]
    assert "too few pairs" in rows[ENCODERS[1]]
    assert "90 %" in rows["Real photographs"]


def test_one_attacked_encoder_or_other_settings_make_no_matrix(write_run: Write, tmp_path: Path) -> None:
    attack(write_run, tmp_path / "a", ENCODERS[0], {ENCODERS[0]: 1.0, ENCODERS[1]: 0.25})
    assert transfer.matrices(read_runs([tmp_path / "a"])) == ()
    attack(write_run, tmp_path / "b", ENCODERS[1], {ENCODERS[1]: 1.0, ENCODERS[0]: 0.25})
    path = next((tmp_path / "b" / "cells").glob("*.json"))
    record = json.loads(path.read_text())
    record["config"]["steps"] += 1
    path.write_text(json.dumps(record))
    assert transfer.matrices(read_runs([tmp_path / "a", tmp_path / "b"])) == ()


@pytest.mark.parametrize(
    ("first", "second", "apart", "verdict"),
    [([1] * 12, [1] * 11 + [0], 1, "same"), ([1] * 12, [0] * 12, 12, "disagree"), ([1] * 6, [0] * 6, 6, "few")],
)
def test_a_further_critic_is_compared_on_the_same_targets(
    write_run: Write, tmp_path: Path, first: list[int], second: list[int], apart: int, verdict: str
) -> None:
    run = write_run(tmp_path, ("id",), targets=TARGETS[: len(first)], pictures=False)
    (cell,) = [path.stem for path in (run / "cells").glob("*.json")]
    further = "vggface2.resnet50"
    rows = read_runs([run]).cells[0].rows
    decided = {"success_type2@0.001:critic": first, f"success_type2@0.001:critic:{further}": second}
    RunFolder(run).write_rows(cell, {**rows, **decided})
    (study,) = read_runs([run]).studies
    (opinion,) = critics.opinions(study)
    assert (opinion.critic, opinion.apart.value, opinion.verdict) == (further, apart, verdict)
    page = " ".join(render(read_runs([run]), images=False).split())
    assert ("so they disagree" in page) == (verdict == "disagree")
