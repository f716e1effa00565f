"""The table of leaks: what the attacker had, and what it is worth."""

from __future__ import annotations

from faceinv.report import recognition
from faceinv.report.runs import Column, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import Interval, interval_of_record, of_record

_NOTE = (
    "Answers: numbers or scores that the system gave away of each target. Cosine: of what is inverted to the target's "
    "own descriptor, on the encoder in the loss. Type II: share of reconstructions that the encoder accepts as the "
    "person, against another photograph, at FMR "
)
WHOLE = "whole descriptor"


def leak_of(column: Column) -> str:
    """Return what the attacker of a column had, in words of the command line."""
    config = column.config
    parts = [config.leak or WHOLE]
    if config.knowledge:
        parts = [config.knowledge, *([config.leak] if config.leak else [])]
    if config.leaked_per_person > 1:
        parts.append(f"{config.leaked_per_person} of a person ({config.fusion})")
    return ", ".join(parts)


def table(study: Study) -> Table:
    """Return a row for each column; without lines if every attacker had whole descriptors and the encoder."""
    columns = study.columns if any(column.record.leak for column in study.columns) else ()
    fmr = recognition.preferred(recognition.success(study)) if columns else ""
    lines = tuple(_line(column, fmr) for column in columns)
    headings = ("encoder in the loss", "answers", "cosine", f"type II by {study.first.critic}", "by the leaked encoder")
    title = f"What leaked of {study.first.config.encoder}"
    return Table("leaks", title, f"{_NOTE}{fmr}.", headings, lines, corner="leak")


def _line(column: Column, fmr: str) -> Line:
    record, leak = column.record, column.record.leak
    cells = (
        Cell(leak.steered_by if leak else column.config.encoder),
        Cell.of_value(of_record(record, 0, "leak", "answers")) if leak else Cell(),
        Cell.of_interval(interval_of_record(record, 3, "leak", "cosine")) if leak else Cell("1", value=1.0),
        Cell.of_interval(_accepted(column, "critic", fmr), "%"),
        Cell.of_interval(_accepted(column, "attacked", fmr), "%"),
    )
    losses = f"{column.losses}: " if len(column.config.losses) > 1 else ""
    return Line(f"{losses}{leak_of(column)}", "", "", cells)


def _accepted(column: Column, role: str, fmr: str) -> Interval | None:
    for place, row in enumerate(column.record.success):
        if (row.role, row.type) == (role, "II") and f"{row.fmr:g}" == fmr and row.share is not None:
            names = ("share", "low", "high")
            return interval_of_record(column.record, 0, "success", place, names=names, percent=True)
    return None
