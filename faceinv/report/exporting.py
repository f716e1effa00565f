"""The tables as the paper prints them, for a paper, a spreadsheet, a README or a program."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from faceinv.errors import InputError
from faceinv.report import paper, probes, provenance, recognition, sections, wording
from faceinv.report.runs import Runs, Study
from faceinv.report.values import Interval, Value

#: How the paper heads the columns of its Table 2.
_PAPER_HEADINGS = {"id": "ID only", "id,lm": "ID+LMs", "id,lm,hist": "ID+LMs+Hist"}


@dataclass(frozen=True)
class Cell:
    """A number as it is printed, and in full.

    Args:
        text: The number.
        interval: Its interval, or nothing.
        value: In full; ``None`` for what is only printed.
        low: Lower end.
        high: Upper end.
    """

    text: str
    interval: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def whole(self) -> str:
        """The number and its interval."""
        return f"{self.text} {self.interval}".strip()


@dataclass(frozen=True)
class Line:
    """A row: its name, its unit and arrow, and a cell a column."""

    name: str
    unit: str
    arrow: str
    cells: tuple[Cell, ...]

    @property
    def heading(self) -> str:
        """The row's name with unit and direction."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit} {self.arrow}".strip()


@dataclass(frozen=True)
class Printed:
    """A table.

    Args:
        name: ``"scores"``, ``"success"``, ``"identification"`` or ``"probes"``.
        caption: What it shows, on whom, and where the reported values come from.
        columns: Headings; those of reported values end in "reported".
        lines: The rows.
        warnings: What has to be said wherever the numbers are shown.
    """

    name: str
    caption: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()

    @property
    def legend(self) -> str:
        """The caption with the warnings."""
        return " ".join([self.caption, *(f"Mind: {text}" for text in self.warnings)])


def tables(runs: Runs, only: Sequence[str] = ()) -> tuple[Printed, ...]:
    """Return the tables of ``runs``; those named in ``only``, if any is.

    Raises:
        InputError: none of these tables has data.
    """
    found: list[Printed] = []
    for study in runs.studies:
        warnings = provenance.warnings(study)
        found += [
            replace(table, warnings=warnings) for table in (_scores(study), _success(study), _identification(study))
        ]
    found += [_probes(table) for table in probes.table_1(runs.probes)]
    kept = tuple(table for table in found if table.lines and (not only or table.name in only))
    if not kept:
        there = ", ".join(dict.fromkeys(table.name for table in found if table.lines)) or "none"
        raise InputError(f"{runs.paths[0]} has no data for {' and '.join(only) or 'any table'}. It has: {there}.")
    return kept


def _where(study: Study) -> str:
    config = study.first.config
    return (
        f"{config['encoder']} inverted through {config['generator']} by {config['method']}, "
        f"{wording.of_targets(study.first.record)} ({config['dataset']}), critic {study.first.critic}"
    )


def _headings(study: Study) -> list[str]:
    return [
        _PAPER_HEADINGS.get(column.losses, label) if label == column.losses else label
        for label, column in zip(study.labels, study.columns, strict=True)
    ]


def _scores(study: Study) -> Printed:
    rows = [row for group in sections.scores(study) for row in group.rows]
    places = [place for place in range(len(study.columns)) if any(row.reported[place] for row in rows)]
    headings = _headings(study)
    lines = []
    last = ""
    for row in rows:
        last = last if row.minor else row.name
        name = f"{last}{row.name.replace('…', ',', 1)}" if row.minor else row.name
        measured = tuple(_of_interval(cell) for cell in row.cells)
        reported = tuple(_reported(row.reported[place]) for place in places)
        lines.append(Line(name, row.unit, row.arrow, measured + reported))
    note = f" Reported: {paper.SOURCE}, Table 2 (VGGFace2 through StyleGAN2, MoFA-Test)." if places else ""
    return Printed(
        "scores",
        f"{_where(study)}. Mean [95 % interval].{note}",
        (*headings, *(f"{headings[place]}, reported" for place in places)),
        tuple(lines),
    )


def _success(study: Study) -> Printed:
    lines = []
    reasons: dict[str, None] = {}
    for table in recognition.success(study):
        for group in table.groups:
            for row in group.rows:
                if not any(row.cells):
                    reasons[f"FMR {table.fmr}, type {row.type}, {group.encoder}: {row.reason or 'not measured'}."] = (
                        None
                    )
                    continue
                cells = [
                    _of_interval(cell.share, "%", f"{cell.accepted.text}/{cell.n.text}") if cell else Cell("–")
                    for cell in row.cells
                ]
                name = f"{group.encoder} ({group.title}), FMR {table.fmr}, type {row.type}"
                lines.append(Line(name, "", "", (*cells, _of_value(row.tmr, "%"))))
    caption = (
        f"{_where(study)}. Share of reconstructions accepted [95 % Wilson interval]; "
        "type I against the leaked image, type II against another photograph of the person."
    )
    caption = " ".join([caption, *reasons])
    return Printed("success", caption, (*_headings(study), "Real photographs"), tuple(lines))


def _identification(study: Study) -> Printed:
    lines = []
    for group in recognition.identification(study):
        for row in group.rows:
            name = f"{group.encoder} ({group.title}), first {row.rank.text} of {row.size.text}, {row.gallery}"
            cells = [_of_interval(cell, "%") if cell else Cell("–") for cell in row.cells]
            lines.append(Line(name, "", "", (*cells, _of_value(row.chance, "%"))))
    caption = f"{_where(study)}. Share of reconstructions that find the right person [95 % Wilson interval]."
    return Printed("identification", caption, (*_headings(study), "By chance"), tuple(lines))


def _probes(table: probes.Table1) -> Printed:
    lines = [
        Line(
            f"{source.title} ({source.detail})" if source.detail else source.title,
            "",
            "",
            tuple(_of_interval(cell.main, "%" if cell.percent else "") if cell else Cell("–") for cell in source.cells),
        )
        for source in table.sources
    ]
    lines += [Line(f"{title}, reported", "", "", tuple(map(_reported, cells))) for title, cells in table.reported]
    columns = tuple(f"{item.title} ({item.unit})" if item.unit else item.title for item in table.attributes)
    return Printed("probes", f"{table.dataset}. Reported: {paper.SOURCE}, Table 1 (CelebA).", columns, tuple(lines))


def _of_value(value: Value, unit: str = "") -> Cell:
    return Cell(f"{value.text} {unit}".strip() if value.value is not None else "–", value=value.value)


def _of_interval(interval: Interval | None, unit: str = "", of: str = "") -> Cell:
    if interval is None:
        return Cell("–")
    text = f"{interval.mean.text} {unit}".strip() + (f" ({of})" if of else "")
    ends = f"[{interval.low.text}, {interval.high.text}]" if interval.known else ""
    return Cell(text, ends, interval.mean.value, interval.low.value, interval.high.value)


def _reported(text: str) -> Cell:
    number = re.match(r"[\d.]+", text)
    return Cell(text or "–", value=float(number[0]) if number else None)


def as_markdown(printed: Sequence[Printed]) -> str:
    """Return Markdown tables."""
    parts = []
    for table in printed:
        head = ["", *table.columns]
        lines = [f"| {' | '.join(map(_pipe, head))} |", f"| --- {'| ---: ' * len(table.columns)}|"]
        lines += [
            f"| {' | '.join(map(_pipe, [line.heading, *(cell.whole for cell in line.cells)]))} |"
            for line in table.lines
        ]
        parts.append("\n".join([*lines, "", table.legend]))
    return "\n\n".join(parts) + "\n"


def as_latex(printed: Sequence[Printed]) -> str:
    """Return LaTeX tables that need the package booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    for table in printed:
        rows = [" & ".join(["", *map(_tex, table.columns)]) + r" \\"]
        body = [
            " & ".join([_tex(line.heading), *(_tex_cell(cell) for cell in line.cells)]) + r" \\" for line in table.lines
        ]
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{_tex(table.legend)}}}",
                    rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
                    r"\toprule",
                    *rows,
                    r"\midrule",
                    *body,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def as_csv(printed: Sequence[Printed]) -> str:
    """Return one line a number, with all its digits; shares are between 0 and 1, as in the records."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["table", "row", "column", "printed", "value", "low", "high", "unit", "reported", "warning"])
    for table in printed:
        for line in table.lines:
            for heading, cell in zip(table.columns, line.cells, strict=True):
                reported = "reported" in heading or line.name.endswith("reported")
                ends = ["" if end is None else repr(end) for end in (cell.value, cell.low, cell.high)]
                writer.writerow(
                    [
                        table.name,
                        line.name,
                        heading,
                        cell.text,
                        *ends,
                        line.unit,
                        int(reported),
                        " ".join(table.warnings),
                    ]
                )
    return buffer.getvalue()


def as_objects(printed: Sequence[Printed]) -> list[dict[str, Any]]:
    """Return the tables for JSON, numbers with all their digits."""
    return [
        {
            "table": table.name,
            "caption": table.caption,
            "warnings": list(table.warnings),
            "columns": list(table.columns),
            "rows": [
                {
                    "name": line.name,
                    "unit": line.unit,
                    "cells": [
                        {"printed": cell.text, "value": cell.value, "low": cell.low, "high": cell.high}
                        for cell in line.cells
                    ],
                }
                for line in table.lines
            ],
        }
        for table in printed
    ]


_TEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": "$-$",
    "–": "--", "…": r"\dots{}", "×": r"$\times$", "²": r"$^2$", "\u00a0": "~",
}  # fmt: skip


def _tex(text: str) -> str:
    return "".join(_TEX.get(letter, letter) for letter in text)


def _tex_cell(cell: Cell) -> str:
    return _tex(cell.text) + (rf" {{\scriptsize {_tex(cell.interval)}}}" if cell.interval else "")


def _pipe(text: str) -> str:
    return text.replace("|", r"\|").replace("\n", " ")


#: Text formats by name.
FORMATS: Mapping[str, Callable[[Sequence[Printed]], str]] = {
    "latex": as_latex,
    "csv": as_csv,
    "markdown": as_markdown,
}
