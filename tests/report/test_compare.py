"""Runs against each other: paired, with a verdict, and refused where the targets differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

Write = Callable[..., Path]
#: As many targets as a verdict needs, and two more.
MANY = [f"target {index}" for index in range(12)]


def scores(run: Path, place: int, metric: str) -> np.ndarray:
    (rows,) = (
        pq.read_table(path.with_suffix(".parquet")).to_pydict()
        for path in (run / "cells").glob("*.json")
        if len(json.loads(path.read_text())["config"]["losses"]) == place + 1
    )
    return np.array(rows[metric])


@pytest.fixture
def two(write_run: Write, tmp_path: Path) -> tuple[Path, Path]:
    return write_run(tmp_path / "a", targets=MANY), write_run(tmp_path / "b", shift=1.0, steps=200, targets=MANY)


def test_differences_are_those_of_the_same_targets(run, two: tuple[Path, Path]) -> None:
    result = run("compare", *two, "--losses", "id,lm", "--json")
    assert result.code == 0, result.err
    (item,) = result.json
    assert item["n"] == 12
    for metric in ("psnr", "landmark_error", "id_sim_critic"):
        difference = scores(two[1], 1, metric) - scores(two[0], 1, metric)
        shown = item["metrics"][metric]
        assert shown["difference"] == pytest.approx(difference.mean(), rel=1e-12)
        independent = stats.bootstrap((difference,), np.mean, method="percentile", rng=np.random.default_rng(1))
        spread = independent.confidence_interval
        tolerance = 0.15 * (spread.high - spread.low)
        assert shown["low"] == pytest.approx(spread.low, abs=tolerance)
        assert shown["high"] == pytest.approx(spread.high, abs=tolerance)
    assert {"key": "steps", "reference": "3", "other": "200"} in item["differs"]


def test_the_verdict_knows_which_way_is_better(run, two: tuple[Path, Path]) -> None:
    # Everything is one unit more: better where more is better.
    result = run("compare", *two, "--losses", "id", "--json")
    (item,) = result.json
    verdicts = {name: value["verdict"] for name, value in item["metrics"].items()}
    assert verdicts["psnr"] == verdicts["id_sim_critic"] == "better"
    assert verdicts["landmark_error"] == verdicts["mse"] == "worse"
    assert item["verdict"].startswith("b against a, id on arcface.mobilefacenet: better on ")
    back = run("compare", *reversed(two), "--losses", "id", "--json").json[0]
    assert back["metrics"]["psnr"]["verdict"] == "worse"
    same = run("compare", two[0], two[0], "--losses", "id", "--json").json[0]
    assert {value["verdict"] for value in same["metrics"].values()} == {"same"}
    assert "no difference at n = 12 on every score" in same["verdict"]


def test_few_targets_have_no_verdict(run, write_run: Write, tmp_path: Path) -> None:
    for n, words in ((9, "too few targets to tell, n = 9 and at least 10 are needed"), (10, "better on ")):
        paths = [
            write_run(tmp_path / f"{name}{n}", ("id",), shift=shift, targets=MANY[:n])
            for name, shift in (("a", 0.0), ("b", 1.0))
        ]
        assert words in run("compare", *paths, "--json").json[0]["verdict"]
    shown = run("compare", tmp_path / "a9", tmp_path / "b9").out
    assert "too few targets" in shown
    assert "better on" not in shown


def test_a_difference_shown_as_zero_is_none(run, write_run: Write, tmp_path: Path) -> None:
    paths = [write_run(tmp_path / str(shift), ("id",), shift=shift, targets=MANY) for shift in (0.0, 4e-4, 4e-3)]
    tiny, small = (run("compare", paths[0], path, "--json").json[0]["metrics"]["ssim"] for path in paths[1:])
    assert tiny["low"] > 0
    assert (tiny["verdict"], small["verdict"]) == ("same", "better")


def test_cells_are_paired_by_what_the_runs_share(run, two: tuple[Path, Path]) -> None:
    items = run("compare", *two, "--json").json
    assert [item["losses"]["reference"] for item in items] == ["id", "id,lm", "id,lm,hist"]
    assert all(item["losses"]["reference"] == item["losses"]["other"] for item in items)


def test_only_common_targets_count(run, write_run: Write, tmp_path: Path) -> None:
    names = [f"t{index}" for index in range(6)]
    a = write_run(tmp_path / "a", ("id",), targets=names)
    b = write_run(tmp_path / "b", ("id",), targets=names[:4], shift=0.5)
    for path in (b / "cells").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"targets": "0" * 16}))
    (item,) = run("compare", a, b, "--json").json
    assert item["n"] == 4
    difference = scores(b, 0, "psnr") - scores(a, 0, "psnr")[:4]
    assert item["metrics"]["psnr"]["difference"] == pytest.approx(difference.mean(), rel=1e-12)


def test_other_targets_are_refused_and_named(run, write_run: Write, tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", ("id",))
    b = write_run(tmp_path / "b", ("id",), targets=["x", "y"], dataset="folder:others", seed=3, skip=6)
    for path in (b / "cells").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"targets": "0" * 16}))
    result = run("compare", a, b)
    assert result.code == 3
    assert len(result.err.strip().splitlines()) == 1
    assert "dataset folder:people ≠ folder:others" in result.err
    assert "skip 0 ≠ 6" in result.err
    assert "seed 0 ≠ 3" in result.err


def test_the_same_name_on_another_picture_is_refused(run, write_run: Write, tmp_path: Path) -> None:
    a, b = write_run(tmp_path / "a", ("id",)), write_run(tmp_path / "b", ("id",), size=25, seed=3)
    for path in (b / "cells").glob("*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"targets": "0" * 16}))
    result = run("compare", a, b)
    assert result.code == 3
    assert "6 of the 6 targets with the same name are different pictures" in result.err
    assert "seed 0 ≠ 3" in result.err


def test_an_unclear_pairing_is_refused(run, write_run: Write, tmp_path: Path) -> None:
    a = write_run(tmp_path / "a", ("id", "id,lm"))
    b = write_run(tmp_path / "b", ("id,hist",), steps=9)
    result = run("compare", a, b)
    assert result.code == 2
    assert "--losses" in result.err


def test_options_that_do_not_go_with_the_number_of_runs_are_refused(run, two: tuple[Path, Path]) -> None:
    assert "--reference names a method of one run" in run("compare", *two, "--reference", "latent-adam").err


def test_a_comparison_is_a_table_a_verdict_and_a_page(run, two: tuple[Path, Path], tmp_path: Path, visit) -> None:
    out = tmp_path / "compare.html"
    result = run("compare", *two, "--losses", "id", "--out", out)
    assert result.code == 0
    assert "better is closer to the target" in result.out
    assert "b against a, id on arcface.mobilefacenet: better on" in result.out
    assert result.err.strip().splitlines()[-1] == f"report: {out}"
    page = visit(out).page
    assert page.locator("svg.chart .forest").count() > 4
    zero = float(page.locator("svg.chart .zero").get_attribute("x1"))
    for row in page.locator("svg.chart .forest.better circle").all():
        assert float(row.get_attribute("cx")) > zero


def test_three_runs_are_compared_with_the_first(run, two: tuple[Path, Path], write_run: Write, tmp_path: Path) -> None:
    third = write_run(tmp_path / "c", ("id",), shift=2.0, steps=9, targets=MANY)
    items = run("compare", *two, third, "--losses", "id", "--json").json
    assert [Path(item["other"]["run"]).name for item in items] == ["b", "c"]
    assert all(Path(item["reference"]["run"]).name == "a" for item in items)


def test_self_scored_runs_are_warned_of(run, write_run: Write, tmp_path: Path) -> None:
    own = {"encoder": "facenet.msceleb", "critics": ["facenet.msceleb"]}
    a, b = write_run(tmp_path / "a", ("id",), **own), write_run(tmp_path / "b", ("id",), steps=9, **own)
    for folder in (a, b):
        for path in (folder / "cells").glob("*.json"):
            record = json.loads(path.read_text())
            path.write_text(json.dumps(record | {"warnings": ["it scores its own inversion"]}))
    result = run("compare", a, b, "--json")
    assert "it scores its own inversion" in result.err
    assert result.json[0]["warnings"] == ["it scores its own inversion"]
    exported = run("export", a, "--format", "markdown")
    assert "it scores its own inversion" in exported.out


def test_results_of_invert_are_left_out(run, two: tuple[Path, Path], write_run: Write, tmp_path: Path) -> None:
    inverted = write_run(tmp_path / "inverted", ("id",), method="other")
    (path,) = (inverted / "cells").glob("*.json")
    record = json.loads(path.read_text()) | {"kind": "invert"}
    del record["seconds"]
    path.write_text(json.dumps(record))
    assert (run("compare", inverted).code, run("compare", inverted, two[0]).code) == (2, 3)
    before = run("compare", two[0], "--json").json
    for file in (path, path.with_suffix(".parquet")):
        file.rename(two[0] / "cells" / file.name)
    assert run("compare", two[0], "--json").json == before
