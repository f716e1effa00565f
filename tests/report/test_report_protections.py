"""The section on protections: charts, sentences, and a table that a click on any heading sorts."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceinv.report import tradeoffs
from faceinv.report.page import render
from faceinv.report.runs import read_runs

STRENGTHS = (16, 32, 64)


def interval(mean: float) -> dict[str, float]:
    return {"mean": mean, "low": max(0.0, mean - 0.1), "high": min(1.0, mean + 0.1)}


def block(bits: int) -> dict[str, Any]:
    share = bits / 64
    rate = {"fmr": 1e-3, "threshold": 0.7, "plain_threshold": 0.4, "tmr": interval(share), "plain": interval(1)}
    utility = {
        "source": "lfw:lfw", "photographs": 90, "people": 30, "eer": 0.1, "plain_eer": 0.01,
        "rates": [rate | {"difference": interval(share - 1) | {"low": -1}}],
        "rank_1": interval(share), "plain_rank_1": interval(1), "rank_1_difference": interval(0),
    }  # fmt: skip
    shares = {name: interval(share) for name in ("solved", "matched", "success")}
    return {
        "scheme": "biohash", "options": {"bits": bits}, "threat": "key-known", "keys": "person", "output": "binary",
        "comparison": "hamming", "length": bits, "bytes": bits // 8, "plain_bytes": 768, "attack": "descent",
        "budget": {"guesses": 4}, "tried": {"descent": 0.9, "a linear map": 0.8}, "adaptive": True, "prior": 100,
        "cosine": interval(share), "utility": utility, "irreversibility": [{"fmr": 1e-3, **shares}],
    }  # fmt: skip


def audit(place: int, protect: str, auc: float) -> dict[str, Any]:
    def row(recipe: str, value: float) -> dict[str, Any]:
        return {
            "encoder": "arcface", "precision": "fp32", "attribute": "smiling", "source": "descriptor",
            "recipe": recipe, "dataset": "lfw:lfw", "n": 40, "metrics": {"auc": interval(value)},
        }  # fmt: skip

    return {
        "schema": 1, "id": f"{place:016x}", "rows": [row("linear", auc - 0.1), row("tuned", auc)],
        "config": {"encoder": "arcface.mobilefacenet", "dataset": "lfw:lfw", "protect": protect},
        "dataset": {"name": "lfw:lfw", "real": True, "fingerprint": "f", "images": {"test": 40}, "people": None},
    }  # fmt: skip


@pytest.fixture(scope="module")
def protected_run(tmp_path_factory: pytest.TempPathFactory, write_run: Callable[..., Path]) -> Path:
    path = tmp_path_factory.mktemp("report") / "run"
    write_run(path, ("id",))
    for bits in STRENGTHS:
        config = {"protection": "biohash", "protection_options": {"bits": bits}, "threat": "key-known"}
        known = set((path / "cells").glob("*.json"))
        write_run(path, ("id",), **config)
        (new,) = set((path / "cells").glob("*.json")) - known
        new.write_text(json.dumps(json.loads(new.read_text()) | {"protection": block(bits)}))
    (path / "probes").mkdir()
    for place, (protect, auc) in enumerate((("", 0.9), ("biohash:bits=16", 0.6), ("biohash:bits=64", 0.8))):
        (path / "probes" / f"{place:016x}.json").write_text(json.dumps(audit(place, protect, auc)))
    return path


def test_readers_trained_on_templates_have_a_curve_a_column_and_a_place_in_the_sentence(protected_run: Path) -> None:
    runs = read_runs([protected_run])
    found = tradeoffs.overview(runs.studies[0], None, runs.probes)
    assert found is not None
    title, chart = found.charts[-1]
    assert title.startswith("Attribute smiling: 2 AUC − 1")
    assert (chart.count("<circle"), "without protection" in chart) == (2, True)
    strong = next(text for text in found.sentences if "bits=16" in text)
    assert "gives back 25 % of the people at FMR 0.001" in strong
    assert "read smiling with AUC 0.60 (0.90 without protection)" in strong
    place = found.table.columns.index("smiling read, AUC")
    assert [line.cells[place].value for line in found.table.lines] == [0.6, None, 0.8]
    assert not any("Attribute" in title for title, _ in tradeoffs.overview(runs.studies[0], None).charts)


def test_a_click_on_any_heading_sorts_the_table(protected_run: Path, visit: Callable[..., Any]) -> None:
    file = protected_run / "page.html"
    file.write_text(render(read_runs([protected_run])), encoding="utf-8")
    page = visit(file).page
    table = "section[data-section=Protections] table.sortable"
    for place, heading in enumerate(page.locator(f"{table} thead th button").all()):
        for falling in (True, False):
            heading.click()
            cells = f"{table} tbody tr > :nth-child({place + 1})"
            shown = page.eval_on_selector_all(cells, "cells => cells.map(cell => cell.dataset.value ?? '')")
            values = [float(text) for text in shown if text]
            assert values == sorted(values, reverse=falling)
            # Empty cells come last, however the others are sorted.
            assert not any(text and not before for before, text in itertools.pairwise(shown))
