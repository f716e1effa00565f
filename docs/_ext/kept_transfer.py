"""The kept transfer matrix as a heat map and a table, to be included by a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from faceinv.report.heat_map import Square, heat_map
from faceinv.report.transfer import short

KEPT = Path(__file__).parents[2] / "benchmarks" / "results" / "transfer.json"


def transfer_matrix() -> str:
    """Return the matrix in ``benchmarks/results``: what ``faceinv export RUN --format json --table transfer`` wrote."""
    (table,) = json.loads(KEPT.read_text(encoding="utf-8"))
    judges = table["columns"]
    rows = [row for row in table["rows"] if row.get("encoder")]
    squares = [
        (
            short(row["name"]),
            [_square(cell, judge == row["encoder"]) for cell, judge in zip(row["cells"], judges, strict=True)],
        )
        for row in rows
    ]
    chart = heat_map(squares, [short(name) for name in judges], "Type II success, attacked by judged", table["caption"])
    lines = ["```{raw} html", str(chart), "```", "", table["caption"], ""]
    lines += [
        f"| attacked | {' | '.join(f'`{short(name)}`' for name in judges)} |",
        "| --- |" + " ---: |" * len(judges),
    ]
    for row in table["rows"]:
        lines.append(f"| {short(row['name'])} | {' | '.join(map(_whole, row['cells']))} |")
    return "\n".join(lines) + "\n"


def _square(cell: dict[str, Any], own: bool) -> Square:
    if cell["value"] is None:
        return Square(None, "–", marked=own)
    return Square(cell["value"], cell["printed"], f"{cell['low']:.0%}–{cell['high']:.0%}".replace("%", ""), own)


def _whole(cell: dict[str, Any]) -> str:
    if cell.get("low") is None:
        return str(cell["printed"])
    return f"{cell['printed']} [{100 * cell['low']:.0f}, {100 * cell['high']:.0f}]"
