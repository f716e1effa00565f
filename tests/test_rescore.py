"""New scores of the pictures that a run keeps, without inverting again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest


def _record(run: Path) -> dict[str, Any]:
    (path,) = (run / "cells").glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _rows(run: Path) -> dict[str, list[Any]]:
    (path,) = (run / "cells").glob("*.parquet")
    return dict(pq.read_table(path).to_pydict())


def test_the_same_metrics_give_the_same_numbers_to_the_bit(run, toy_run: Path, tmp_path: Path) -> None:
    result = run("rescore", toy_run, "--out", tmp_path / "again", "--json")
    assert result.code == 0, result.err
    assert _rows(tmp_path / "again") == _rows(toy_run)
    before, after = _record(toy_run), _record(tmp_path / "again")
    differing = {key for key in before | after if before.get(key) != after.get(key)}
    assert differing <= {"id", "code", "weights", "checksum", "seconds", "digests", "parent"}
    assert after["parent"]["id"] == before["id"]
    assert after["parent"]["checksum"] == before["checksum"]
    assert after["parent"]["code"] == before["code"]
    (row,) = result.json
    assert row["metrics"]["psnr"] == before["metrics"]["psnr"]
    assert run("verify", tmp_path / "again").code == 0


def test_another_critic_and_other_metrics(run, toy_run: Path, tmp_path: Path) -> None:
    out = toy_run.with_name("run-rescored")
    result = run("rescore", toy_run, "--critic", "toy.critic,toy", "--metrics", "id_sim_critic", "--metrics", "ssim")
    assert result.code == 0, result.err
    record, rows = _record(out), _rows(out)
    (warning,) = [text for text in record["warnings"] if "was attacked and also scores" in text]
    assert warning in result.err
    assert {"ssim", "id_sim_critic", "id_sim_critic:toy.attacked"} <= set(record["metrics"])
    assert "psnr" not in record["metrics"]
    assert "success" not in record
    assert record["metrics"]["id_sim_critic"] == _record(toy_run)["metrics"]["id_sim_critic"]
    assert rows["target"] == _rows(toy_run)["target"]
    assert not list(toy_run.glob("cells/*/parts"))
    # Nothing is scored twice, and a page shows the pictures.
    (path,) = (out / "cells").glob("*.json")
    written = path.stat().st_mtime_ns
    again = run("rescore", toy_run, "--critic", "toy.critic,toy", "--metrics", "id_sim_critic", "--metrics", "ssim")
    assert again.code == 0
    assert path.stat().st_mtime_ns == written
    assert "data:image/png" in (out / "report.html").read_text()


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_picture_that_was_changed_or_removed(run, toy_run: Path, tmp_path: Path, change: str) -> None:
    (picture,) = toy_run.glob("cells/*/00003.png")
    if change == "edit":
        other = picture.with_name("00002.png").read_bytes()
        picture.unlink()
        picture.write_bytes(other)
    else:
        picture.unlink()
    result = run("rescore", toy_run, "--out", tmp_path / "again")
    assert result.code == 3
    (line,) = [line for line in result.err.splitlines() if line.startswith("Error")]
    assert "00003.png" in line
    assert ("was changed" if change == "edit" else "No such file") in line
    assert not list((tmp_path / "again").glob("cells/*.json"))


def test_an_older_record_and_an_empty_run(run, toy_run: Path, tmp_path: Path) -> None:
    (path,) = (toy_run / "cells").glob("*.json")
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: content[key] for key in content if key not in ("digests", "checksum")}))
    result = run("rescore", toy_run, "--out", tmp_path / "again")
    assert result.code == 3
    assert "older version" in result.err
    path.write_text(json.dumps(content | {"n": 1}))
    result = run("rescore", toy_run, "--out", tmp_path / "again")
    assert result.code == 3
    assert "its checksum differs" in result.err
    (tmp_path / "empty").mkdir()
    result = run("rescore", tmp_path / "empty")
    assert result.code == 3
    assert "holds no finished cell" in result.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--critic", "toy.critc"], "Did you mean 'toy.critic'"),
        (["--metrics", "psnrr"], "Did you mean 'psnr'"),
        (["--dataset", "synthetic"], "the targets are from 'toy-targets'"),
    ],
)
def test_unknown_names(run, toy_run: Path, options: list[str], message: str) -> None:
    result = run("rescore", toy_run, *options)
    assert result.code == 2
    assert message in result.err


def test_the_run_itself_is_not_written_to(run, toy_run: Path) -> None:
    result = run("rescore", toy_run, "--out", toy_run)
    assert result.code == 2
    assert "is the run itself" in result.err


def test_cosines_of_different_critics_are_not_subtracted(run, toy_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "other"
    assert run("rescore", toy_run, "--critic", "toy", "--metrics", "id_sim_critic", "--out", out).code == 0
    result = run("compare", toy_run, out)
    assert result.code == 2
    assert "share no score" in result.err
