"""A comparison as a table, and as a page with a forest plot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from faceinv.report import charts, wording
from faceinv.report.comparison import Comparison, Row
from faceinv.report.page import package_version, render_template
from faceinv.report.sections import VERDICTS
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import Interval, computed


def comparison_table(item: Comparison) -> Table:
    """Return a comparison as a table: both means, the difference and the verdict."""
    lines = [
        Line(
            row.name,
            row.unit,
            "↑" if row.higher_is_better else "↓",
            (
                Cell(wording.number(row.reference.mean, row.digits), value=row.reference.mean),
                Cell(wording.number(row.other.mean, row.digits), value=row.other.mean),
                Cell.of_interval(_difference(row), style=row.verdict),
                Cell(VERDICTS[row.verdict], style=row.verdict),
            ),
        )
        for row in item.rows
    ]
    note = "Paired differences, mean [95 % bootstrap interval]; better is closer to the target: a stronger attack."
    title = f"{item.title}, {item.n} common targets"
    return Table("comparison", title, note, (*item.names, "difference", "verdict"), tuple(lines), corner="metric")


def render_comparison(comparisons: Sequence[Comparison]) -> str:
    """Return the comparisons as one self-contained HTML page."""
    others = dict.fromkeys(item.names[1] for item in comparisons)
    return render_template(
        "compare.html.j2",
        script="report.js",
        title=f"{', '.join(others)} against {comparisons[0].names[0]}",
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=package_version(),
        comparisons=[(item, _plot(item), [(row, _difference(row)) for row in item.rows]) for item in comparisons],
        computed=computed,
        words=VERDICTS,
    )


def _difference(row: Row) -> Interval:
    return computed(row.difference, row.digits, sign=True)


def _plot(item: Comparison) -> Markup:
    """Draw each difference in standard deviations of the reference, better to the right."""
    rows = []
    for row in item.rows:
        ends = (row.difference.mean, row.difference.low, row.difference.high)
        if row.spread <= 0 or any(value != value for value in ends):
            continue
        sign = 1 if row.higher_is_better else -1
        mean, low, high = (sign * value / row.spread for value in ends)
        text = f"{wording.number(row.difference.mean, row.digits, sign=True)}{f' {row.unit}' if row.unit else ''}"
        rows.append(charts.Difference(row.name, mean, min(low, high), max(low, high), row.verdict, text))
    return charts.forest(
        rows, "difference, in standard deviations over the targets: right is better", "Paired differences", item.verdict
    )
