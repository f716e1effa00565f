"""The leaderboard of one run: curves of score against budget, every number in a table, the ceiling of PSNR."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from faceinv.report.budget_chart import Curve, _spread, budget_chart
from faceinv.report.charts import Axis
from faceinv.scoring.statistics import Estimate
from faceinv.storage.run_folder import RunFolder

Write = Callable[..., Path]


@pytest.fixture
def methods(write_run: Write, tmp_path: Path) -> Path:
    path = tmp_path / "run"
    for method, ahead in (("latent-adam", 0.0), ("faceinv", 0.1)):
        for steps in (100, 500):
            write_run(path, ("id",), shift=ahead + steps / 10000, method=method, steps=steps, pictures=False)
    return write_run(path, ("id",), shift=-0.2, method="regression", steps=0, pictures=False)


def test_one_run_gives_a_page_with_a_curve_for_every_method(run, methods: Path) -> None:
    result = run("compare", methods)
    assert result.code == 0, result.err
    page = (methods / "methods.html").read_text()
    assert str(methods / "methods.html") in result.out + result.err
    assert page.count('<th scope="row">') == 5
    (critic,) = re.findall(r'<svg[^>]*aria-label="critic cosine[^>]*>.*?</svg>', page, re.DOTALL)
    # Two methods with two budgets each, and one that asks for nothing.
    assert critic.count("<circle") == critic.count('class="bar') == 4
    assert critic.count('class="line across') == 1
    assert all(f">{name}</text>" in critic for name in ("latent-adam", "faceinv", "regression", "100", "500"))


def test_the_page_can_go_elsewhere_and_json_has_the_same_rows(run, methods: Path, tmp_path: Path) -> None:
    result = run("compare", methods, "--json", "--out", tmp_path / "page.html")
    assert (tmp_path / "page.html").is_file()
    (board,) = result.json
    ours = {(row["method"], row["steps"]): row for row in board["places"]}
    assert set(ours) == {("regression", 0)} | {(m, s) for m in ("latent-adam", "faceinv") for s in (100, 500)}
    difference = ours["faceinv", 500]["differences"]["id_sim_critic"]
    assert difference["mean"] == pytest.approx(0.1, abs=1e-9)


def test_steps_in_bf16_are_named_and_measured_by_those_in_fp32(run, write_run: Write, tmp_path: Path) -> None:
    for precision, ahead in (("fp32", 0.0), ("bf16", -0.01)):
        for method, better in (("latent-adam", 0.0), ("faceinv", 0.1)):
            path = write_run(
                tmp_path / "run", ("id",), shift=better + ahead, method=method, precision=precision, pictures=False
            )
    result = run("compare", path, "--json")
    assert result.code == 0, result.err
    (board,) = result.json
    due = {("latent-adam", "fp32"): None, ("latent-adam", "bf16"): -0.01}
    due |= {("faceinv", "fp32"): 0.1, ("faceinv", "bf16"): 0.09}
    found = {(row["method"], row["precision"]): row["differences"].get("id_sim_critic") for row in board["places"]}
    assert found.keys() == due.keys()
    for key, difference in found.items():
        assert (difference and difference["mean"]) == (due[key] and pytest.approx(due[key], abs=1e-9)), key
    assert ">faceinv bf16</text>" in (path / "methods.html").read_text()


def test_a_method_with_other_options_is_measured_by_itself_as_declared(run, write_run: Write, tmp_path: Path) -> None:
    for options, ahead in (({}, 0.0), ({"starts": 1}, -0.02), ({"starts": 1, "whitened": 0}, -0.05)):
        path = write_run(
            tmp_path / "run", ("id",), shift=ahead, method="faceinv", method_options=options, pictures=False
        )
    (board,) = run("compare", path, "--json", "--reference", "faceinv").json
    found = {row["options"]: row["differences"].get("id_sim_critic") for row in board["places"]}
    assert found.keys() == {"", "starts=1", "starts=1,whitened=0"}
    assert found[""] is None
    assert found["starts=1"]["mean"] == pytest.approx(-0.02, abs=1e-9)
    assert found["starts=1,whitened=0"]["mean"] == pytest.approx(-0.05, abs=1e-9)


def test_a_method_that_ran_in_one_precision_at_each_budget_has_one_curve(run, write_run: Write, tmp_path: Path) -> None:
    for steps, precision in ((100, "fp32"), (500, "bf16")):
        path = write_run(
            tmp_path / "run", ("id",), method="latent-adam", steps=steps, precision=precision, pictures=False
        )
    result = run("compare", path)
    assert "steps in" in result.out
    page = (path / "methods.html").read_text()
    assert page.count(">latent-adam</text>") == page.count("<svg")
    assert "latent-adam bf16" not in page


def test_a_single_budget_and_a_single_target_can_be_drawn() -> None:
    alone = Estimate(0.5, float("nan"), float("nan"), 1)
    chart = budget_chart([Curve("one", [(100, alone)], "c0")], "score", "one target")
    assert "nan" not in chart
    assert chart.count("<circle") == 1


@given(st.lists(st.floats(20, 300), min_size=1, max_size=12))
def test_names_do_not_overlap_and_keep_their_order(heights: list[float]) -> None:
    placed = _spread(heights, 16, 306)
    ordered = [placed[index] for index in sorted(range(len(heights)), key=heights.__getitem__)]
    assert all(later - earlier > 13.9 for earlier, later in pairwise(ordered))
    assert ordered[0] > 15
    assert ordered[-1] < 307


@given(st.floats(-100, 100), st.floats(0.01, 100), st.integers(3, 6))
def test_an_axis_has_about_as_many_round_values_as_are_asked_for(low: float, span: float, about: int) -> None:
    ticks = Axis(low, low + span, 0, 1).ticks(about)
    assert about / 2 - 1 <= len(ticks) <= 2 * about + 1
    assert all(low - 1e-6 <= tick <= low + span + 1e-6 for tick in ticks)
    steps = {round(after - before, 6) for before, after in pairwise(ticks)}
    assert len(steps) <= 1


def test_rows_of_earlier_runs_join_and_new_ones_take_their_place(
    run, methods: Path, tmp_path: Path, write_run: Write
) -> None:
    kept = tmp_path / "kept.json"
    (board,) = run("compare", methods, "--json").json
    kept.write_text(json.dumps([board]))
    later = write_run(tmp_path / "later", ("id",), shift=0.3, method="faceinv", steps=500, pictures=False)
    (joined,) = run("compare", later, "--also", kept, "--json").json
    means = {(p["method"], p["steps"]): p["scores"]["id_sim_critic"]["mean"] for p in board["places"]}
    now = {(p["method"], p["steps"]): p["scores"]["id_sim_critic"]["mean"] for p in joined["places"]}
    assert set(now) == set(means)
    assert {key for key in now if now[key] != means[key]} == {("faceinv", 500)}
    assert [p["steps"] for p in joined["places"]] == sorted(p["steps"] for p in joined["places"])
    assert (later / "methods.html").read_text().count('<th scope="row">') == 5


def test_new_rows_without_the_reference_of_the_kept_ones_have_no_differences(
    run, methods: Path, tmp_path: Path, write_run: Write
) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(run("compare", methods, "--json").json))
    for method, ahead in (("blobs", 0.0), ("pixel", 0.1)):
        later = write_run(tmp_path / "later", ("id",), shift=ahead, method=method, steps=500, pictures=False)
    (alone,) = run("compare", later, "--json").json
    assert any(place["differences"] for place in alone["places"])
    (joined,) = run("compare", later, "--also", kept, "--json").json
    found = {place["method"]: place["differences"] for place in joined["places"] if place["steps"] == 500}
    assert found["blobs"] == found["pixel"] == {}
    assert found["faceinv"]


def test_a_difference_to_a_reference_that_was_replaced_is_gone(
    run, methods: Path, tmp_path: Path, write_run: Write
) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(run("compare", methods, "--json").json))
    later = write_run(tmp_path / "later", ("id",), shift=0.2, method="latent-adam", steps=500, pictures=False)
    (joined,) = run("compare", later, "--also", kept, "--json").json
    found = {(place["method"], place["steps"]): place for place in joined["places"]}
    assert found["faceinv", 500]["differences"] == {}
    assert found["faceinv", 500]["reference"] == ""
    assert found["faceinv", 100]["differences"]
    assert found["faceinv", 100]["reference"] == found["latent-adam", 100]["id"]


def edited(path: Path, rows: dict[str, list[float]], record: dict[str, object]) -> None:
    """Put columns and record keys into the only cell of a run."""
    folder = RunFolder(path)
    (file,) = (path / "cells").glob("*.json")
    folder.write_rows(file.stem, folder.columns(file.stem) | rows)
    file.write_text(json.dumps(json.loads(file.read_text()) | record))


def test_a_row_says_what_was_spent_what_was_had_before_and_how_long_batches_took(
    run, write_run: Write, tmp_path: Path
) -> None:
    path = write_run(tmp_path / "run", ("id",), method="mapping", steps=500, pictures=False)
    edited(
        path,
        {},
        {"offline": "white-box", "queries_mean": 312.5, "seconds": {"invert": 12, "a_target": [1.0, 2.0, 3.0]}},
    )
    (board,) = run("compare", path, "--json").json
    (place,) = board["places"]
    assert (place["offline"], place["spent"], place["steps"]) == ("white-box", 312.5, 500)
    assert place["seconds"]["mean"] == pytest.approx(2)
    assert place["seconds"]["low"] < 2 < place["seconds"]["high"]
    page = (path / "methods.html").read_text()
    assert '<td class="word">white-box</td>' in page
    assert '<td class="figure">312</td>' in page


def test_psnr_is_shown_beside_its_ceiling_target_by_target(run, write_run: Write, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", ("id",), method="faceinv", steps=500, pictures=False)
    psnr = RunFolder(path).columns(next((path / "cells").glob("*.json")).stem)["psnr"]
    edited(path, {"psnr_ceiling": [value - 0.5 for value in psnr]}, {})
    (board,) = run("compare", path, "--json").json
    over = board["places"][0]["above_ceiling"]
    assert (over["mean"], over["low"], over["high"]) == pytest.approx((0.5, 0.5, 0.5))
    (chart,) = re.findall(r'<svg[^>]*aria-label="PSNR[^>]*>.*?</svg>', (path / "methods.html").read_text(), re.DOTALL)
    assert 'class="line across ceiling"' in chart
    assert ">expected image</text>" in chart


def test_an_attack_that_nobody_accepted_has_an_interval_all_the_same(run, write_run: Write, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", ("id",), method="blobs", steps=500, pictures=False)
    edited(path, {"success_type2@0.001:critic": [0.0] * 6}, {})
    (board,) = run("compare", path, "--json").json
    share = board["places"][0]["scores"]["success_type2@0.001:critic"]
    assert (share["mean"], share["low"]) == (0, 0)
    # Wilson's upper end for none of six.
    assert share["high"] == pytest.approx(0.3903, abs=1e-3)


def test_a_threshold_that_rests_on_few_false_matches_is_said(run, write_run: Write, tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", ("id",), method="blobs", steps=500, pictures=False)
    note = "rests on 18 false matches: below 30 the rate is not known within 30 %"
    (file,) = (path / "cells").glob("*.json")
    recognition = json.loads(file.read_text())["recognition"]
    recognition["critic"]["thresholds"][1] |= {"fmr": 1e-3, "note": note}
    edited(path, {}, {"recognition": recognition})
    (board,) = run("compare", path, "--json").json
    assert board["warnings"][-1] == f"The critic's threshold at FMR 1e-3 {note}."
    assert "rests on 18 false matches" in (path / "methods.html").read_text()
    assert "rests on 18 false matches" in " ".join(run("compare", path).out.split())


def test_rows_with_other_losses_do_not_join_where_losses_are_named(
    run, methods: Path, tmp_path: Path, write_run: Write
) -> None:
    more = write_run(tmp_path / "more", ("landmarks",), method="faceinv", steps=500, pictures=False)
    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps(run("compare", more, "--json").json))
    for losses, due in ((), {"id", "landmarks"}), (("--losses", "id"), {"id"}):
        (board,) = run("compare", methods, "--also", kept, "--json", *losses).json
        assert {place["losses"] for place in board["places"]} == due


def test_kept_rows_about_other_targets_are_refused(run, methods: Path, tmp_path: Path, write_run: Write) -> None:
    kept = tmp_path / "kept.json"
    (board,) = run("compare", methods, "--json").json
    kept.write_text(json.dumps([board | {"targets": "others"}]))
    result = run("compare", methods, "--also", kept)
    assert result.code == 2
    assert "others" in result.err
    kept.write_text('{"not": "a leaderboard"}')
    result = run("compare", methods, "--also", kept)
    assert result.code == 3
    assert "compare RUN --json" in result.err
    assert "Traceback" not in result.err


def test_nothing_of_a_single_target_is_kept(run, methods: Path) -> None:
    (board,) = run("compare", methods, "--json").json
    assert board["n"] > 1
    for place in board["places"]:
        assert set(place["seconds"]) == {"mean", "low", "high", "n", "people"}
        assert all(set(score) == {"mean", "low", "high", "n", "people"} for score in place["scores"].values())
