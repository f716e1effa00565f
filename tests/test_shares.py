"""The weighted share of each loss: in records, tables, pages and warnings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faceinv.attack.shares import LossShare, loss_shares, negligible

TOY = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "5", "--pairs", "200", "--steps", "4", "--metric", "mse",
]  # fmt: skip


def test_a_share_is_of_the_weighted_sum_at_the_first_and_at_the_last_step() -> None:
    trajectory = {"id": [6.0, 3.0, 1.0], "lm": [100.0, 50.0, 45.0], "total": [16.0, 8.0, 5.5]}
    shares = loss_shares({"id": 1.0, "lm": 0.1}, trajectory)
    assert shares["id"] == LossShare(1.0, pytest.approx(6 / 16), pytest.approx(1 / 5.5))
    assert shares["lm"] == LossShare(0.1, pytest.approx(10 / 16), pytest.approx(4.5 / 5.5))
    # What a method adds to the sum itself is not a loss of the objective, and nothing was optimised without steps.
    assert loss_shares({"id": 1.0}, {**trajectory, "id-whitened": [9.0, 9.0, 9.0]})["id"].start == 1
    assert loss_shares({"id": 1.0}, {}) == {}


def test_a_loss_far_below_the_others_is_named_with_what_to_do() -> None:
    shares = {
        "id": LossShare(1.0, 0.98, 0.97),
        "lm": LossShare(0.0006, 0.0002, 0.02),
        "hist": LossShare(0.01, 2.4e-6, 4e-4),
        "off": LossShare(0.0, 0.0, 0.0),
    }
    (text,) = negligible(shares)
    assert "'hist' is 0.00024 % of the weighted sum at the start and 0.04 % at the end" in text
    assert "--loss-weights hist=WEIGHT" in text
    assert "--objective balanced" in text


def test_a_run_shows_the_shares_and_warns(run, cache: Path, tmp_path: Path) -> None:
    arguments = [*TOY, "--losses", "id,brightness", "--ablate", "--out", tmp_path / "run"]
    result = run(*arguments, "--loss-weights", "brightness=1e-9")
    assert result.code == 0, result.err
    assert "Weighted share of each loss in the objective" in result.out
    assert "The loss 'brightness' is" in " ".join(result.out.split())
    files = (tmp_path / "run" / "cells").glob("*.json")
    alone, both = sorted(
        (json.loads(file.read_text()) for file in files), key=lambda record: len(record["config"]["losses"])
    )
    assert alone["shares"] == {"id": {"weight": 1.0, "start": 1.0, "end": 1.0}}
    for place, step in (("start", 0), ("end", -1)):
        share = 1e-9 * both["trajectory"]["brightness"][step] / both["trajectory"]["total"][step]
        assert both["shares"]["brightness"][place] == pytest.approx(share, rel=1e-4)
    assert [text for text in both["warnings"] if "'brightness' is" in text]
    assert alone["warnings"] == []
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Share of each loss" in page
    assert f'data-pointer="/shares/brightness/end">{"&lt; 0.001 %"}</data>' in page
    (_, row) = run(*arguments, "--loss-weights", "brightness=1e-9", "--json").json
    assert row["shares"] == json.loads(json.dumps(both["shares"]))


def test_a_loss_whose_probe_reads_worse_than_guessing_is_left_out_under_balanced(
    run, cache: Path, tmp_path: Path
) -> None:
    plugin = ("--plugin", Path(__file__).with_name("toy_misread.py"))
    arguments = [*plugin, *TOY, "--losses", "id,upside-down", "--json", "--out", tmp_path / "run"]
    result = run(*arguments, "--ablate")
    assert result.code == 0, result.err
    alone, both = result.json
    score = both["probes"]["upside-down"]
    assert score["descriptor"] > score["baseline"]
    (warning,) = both["warnings"]
    for part in ("'upside-down' reads worse than guessing", f"{score['descriptor']:.2f}", f"{score['baseline']:.2f}"):
        assert part in warning
        assert part in " ".join(result.err.split())
    assert both["shares"]["upside-down"] == {"weight": 0.0, "start": 0.0, "end": 0.0}
    assert both["metrics"] == alone["metrics"]
    # The paper's preset follows the paper, and a weight that is given is taken; both with the warning.
    paper, given = (
        run(*arguments, "--objective", "paper").json + run(*arguments, "--loss-weights", "upside-down=3").json
    )
    for row, weight in ((paper, 1.0), (given, 3.0)):
        assert row["shares"]["upside-down"]["weight"] == weight
        assert row["shares"]["upside-down"]["start"] > 0
        assert "reads worse than guessing" in row["warnings"][0]
        assert row["metrics"] != alone["metrics"]
    trained = run(*plugin, "train", *TOY[1:], "--losses", "id,upside-down")
    assert "reads worse than guessing" in " ".join(trained.err.split())
    nothing = run(*plugin, *TOY, "--losses", "upside-down", "--out", tmp_path / "nothing")
    assert nothing.code == 2
    assert "No loss is left to minimise" in nothing.err
