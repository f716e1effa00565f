"""Numbers in prose match the kept results: every mean with an interval is in ``benchmarks/results``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from faceinv.report.table import Cell
from faceinv.scoring.statistics import Estimate

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "explanation" / "comparing-methods.md"
_MEASURED = re.compile(r"[+−]?\d+\.\d+ \[[+−]?\d+\.\d+, [+−]?\d+\.\d+\]")


def estimates(content: Any) -> Iterator[Estimate]:
    """Yield every mean with an interval in a kept leaderboard, and every difference in a kept comparison."""
    if isinstance(content, dict) and {"low", "high", "n"} < set(content):
        if content["low"] is not None:
            mean = content["mean"] if "mean" in content else content["difference"]
            yield Estimate(mean, content["low"], content["high"], content["n"])
    elif isinstance(content, (dict, list)):
        for item in content.values() if isinstance(content, dict) else content:
            yield from estimates(item)


def test_every_interval_in_the_comparison_of_methods_is_in_the_kept_results() -> None:
    kept = {
        Cell.of_estimate(found, digits, signed=sign).whole
        for path in (ROOT / "benchmarks" / "results").glob("*.json")
        for found in estimates(json.loads(path.read_text(encoding="utf-8")))
        for digits in (2, 3)
        for sign in (False, True)
    }
    written = _MEASURED.findall(PAGE.read_text(encoding="utf-8"))
    assert len(written) > 50
    assert [number for number in written if number not in kept] == []
