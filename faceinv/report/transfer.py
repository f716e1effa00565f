"""The transfer matrix: how often each encoder accepts what was rebuilt from another's descriptors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from faceinv.report.heat_map import Square, heat_map
from faceinv.report.recognition import PREFERRED
from faceinv.report.runs import Column, Runs
from faceinv.report.sections import fmr_key, fmr_text
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import Interval, Value, interval_of_record, of_record

_SHARE = ("share", "low", "high")


@dataclass(frozen=True)
class Entry:
    """One attacked encoder by one judge.

    Args:
        share: Share accepted, in percent with Wilson's interval; ``None`` if it was not measured.
        own: Whether the judge is the attacked encoder.
        reason: Why there is no share.
    """

    share: Interval | None
    own: bool
    reason: str


@dataclass(frozen=True)
class Matrix:
    """Attacked encoders by judges.

    Args:
        judges: Names of the judges.
        rows: Name of each attacked encoder, with an entry per judge.
        photographs: Share of pairs of real photographs of one person that each judge accepts, in percent.
        fmr: False match rate of every judge's own threshold.
        text: That rate in words.
        type: ``"II"`` against another photograph of the person, ``"I"`` against the image that leaked.
        n: Number of targets.
        real: Whether they are photographs.
        about: What all cells share: generator, method, losses, steps, data set.
        chart: The heat map.
    """

    judges: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Entry, ...]], ...]
    photographs: tuple[Value, ...]
    fmr: str
    text: str
    type: str
    n: int
    real: bool | None
    about: str
    chart: Markup


def matrices(runs: Runs) -> tuple[Matrix, ...]:
    """Return a matrix for each group of cells that differ only in the encoders, if two or more are attacked."""
    groups: dict[str, dict[str, Column]] = {}
    for column in runs.cells:
        shared = {key: value for key, value in column.settings.items() if key not in ("encoder", "critics")}
        key = json.dumps([shared, column.record.targets], sort_keys=True)
        groups.setdefault(key, {})[column.config.encoder] = column
    return tuple(filter(None, (_matrix(list(group.values())) for group in groups.values())))


def _matrix(columns: Sequence[Column]) -> Matrix | None:
    scored = {row.encoder for column in columns for row in column.record.success}
    attacked = [column.config.encoder for column in columns]
    # The attacked ones in the order of the run, so that the diagonal is one; then judges that were not attacked.
    judges = [name for name in attacked if name in scored]
    judges += sorted(scored.difference(judges))
    chosen = _chosen(columns)
    if len(columns) < 2 or len(judges) < 2 or chosen is None:
        return None
    rate, kind = chosen
    rows = tuple((c.config.encoder, tuple(_entry(c, judge, rate, kind) for judge in judges)) for c in columns)
    first = columns[0]
    config = first.config
    about = f"{config.method} with {', '.join(config.losses)}, {config.steps} steps, through {config.generator}"
    return Matrix(
        judges=tuple(judges),
        rows=rows,
        photographs=tuple(_photographs(columns, judge, rate, kind) for judge in judges),
        fmr=fmr_key(rate),
        text=fmr_text(rate),
        type=kind,
        n=first.record.n,
        real=first.record.real,
        about=about,
        chart=_chart(judges, rows, f"{kind} success at {fmr_text(rate)}"),
    )


def _chosen(columns: Sequence[Column]) -> tuple[float, str] | None:
    """Return the false match rate and the type to show: what is measured for most encoders, the harder ones first."""
    counts: dict[tuple[float, str], int] = {}
    for column in columns:
        for row in column.record.success:
            if row.share is not None:
                counts[row.fmr, row.type] = counts.get((row.fmr, row.type), 0) + 1

    def worth(item: tuple[float, str]) -> tuple[bool, int, bool, float]:
        return item[1] == "II", counts[item], fmr_key(item[0]) == PREFERRED, -item[0]

    return max(counts, key=worth, default=None)


def _place(column: Column, judge: str, rate: float, kind: str) -> int | None:
    for place, row in enumerate(column.record.success):
        if (row.encoder, row.fmr, row.type) == (judge, rate, kind):
            return place
    return None


def _entry(column: Column, judge: str, rate: float, kind: str) -> Entry:
    own, place = judge == column.config.encoder, _place(column, judge, rate, kind)
    if place is None:
        return Entry(None, own, "not judged by it")
    if column.record.success[place].share is None:
        return Entry(None, own, column.record.success[place].reason or "not measured")
    return Entry(interval_of_record(column.record, 0, "success", place, names=_SHARE, percent=True), own, "")


def _photographs(columns: Sequence[Column], judge: str, rate: float, kind: str) -> Value:
    for column in columns:
        place = _place(column, judge, rate, kind)
        if place is not None:
            return of_record(column.record, 0, "success", place, "tmr", percent=True)
    return Value("–", None)


def _chart(judges: Sequence[str], rows: Sequence[tuple[str, Sequence[Entry]]], what: str) -> Markup:
    drawn = [(short(name), [_drawn(entry) for entry in entries]) for name, entries in rows]
    said = "; ".join(
        f"{name}: " + ", ".join(f"{judge} {_said(entry)}" for judge, entry in zip(judges, entries, strict=True))
        for name, entries in rows
    )
    return heat_map(drawn, [short(name) for name in judges], f"Type {what}, attacked by judged", said)


def _drawn(entry: Entry) -> Square:
    if entry.share is None:
        return Square(None, "–", marked=entry.own)
    return Square(
        entry.share.mean.value,
        f"{entry.share.mean.text} %",
        f"{entry.share.low.text}–{entry.share.high.text}",
        entry.own,
    )


def _said(entry: Entry) -> str:
    return f"{entry.share.mean.text} %" if entry.share else entry.reason


def table(matrix: Matrix) -> Table:
    """Return the matrix as a table, with what each judge accepts of real photographs as its last line."""
    lines = [
        Line(name, "", "", tuple(_cell(entry) for entry in entries), encoder=name) for name, entries in matrix.rows
    ]
    lines.append(Line("Real photographs", "", "", tuple(Cell.of_value(value, "%") for value in matrix.photographs)))
    against = "another photograph of the person (type II)" if matrix.type == "II" else "the leaked image (type I)"
    note = (
        f"Share of {matrix.n} reconstructions accepted by each judge [95 % Wilson interval], compared with {against}, "
        f"at its own threshold for a false match rate of {matrix.fmr}; by {matrix.about}. On the diagonal the judge is "
        "the attacked encoder."
    )
    return Table("transfer", "Attacked by judged", note, matrix.judges, tuple(lines), corner="attacked")


def _cell(entry: Entry) -> Cell:
    return Cell.of_interval(entry.share, "%") if entry.share else Cell(entry.reason)


def short(name: str) -> str:
    """Return an encoder's name without its tag."""
    return name.partition(".")[0]
