"""A table, and its renderers: terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from faceinv.report import wording
from faceinv.report.values import Interval, Value
from faceinv.scoring.statistics import FEW, Estimate

About = Mapping[str, str]
#: What a table is about, for machines.
ABOUT = ("encoder", "generator", "dataset")

#: Style of a cell on a terminal.
_STYLES = {"better": "green", "worse": "red", "same": "dim", "few": "dim", "clear": "bold"}
#: Widest heading of a row on a terminal, as a share of the width.
_HEADING = 0.4
#: Characters between two columns on a terminal.
_MARGIN = 3


@dataclass(frozen=True)
class Cell:
    """A number as it is shown, and with all its digits.

    Args:
        text: The number or the words.
        interval: Its interval, if there is one.
        value: The number with all its digits; ``None`` for words.
        low: Lower end of the interval.
        high: Upper end.
        style: How it looks on a terminal: a verdict on a difference, or ``"clear"`` (of zero).
    """

    text: str = "–"
    interval: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    style: str = ""

    @property
    def whole(self) -> str:
        """The number and its interval."""
        return f"{self.text} {self.interval}".strip()

    @classmethod
    def of_value(cls, value: Value, unit: str = "") -> Cell:
        """Return a number without an interval; a dash without a unit if there is none."""
        return cls(f"{value.text} {unit}".strip() if value.value is not None else "–", value=value.value)

    @classmethod
    def of_interval(cls, interval: Interval | None, unit: str = "", note: str = "", style: str = "") -> Cell:
        """Return a mean with its interval, and with a ``note`` such as the counts behind a share."""
        if interval is None:
            return cls()
        text = f"{interval.mean.text} {unit}".strip() + (f" ({note})" if note else "")
        ends = f"[{interval.low.text}, {interval.high.text}]" if interval.known else ""
        return cls(text, ends, interval.mean.value, interval.low.value, interval.high.value, style)

    @classmethod
    def of_estimate(cls, estimate: Estimate | None, digits: int, *, signed: bool = False) -> Cell:
        """Return an estimate; a signed one is highlighted if its interval is clear of zero."""
        if estimate is None:
            return cls("")
        text = wording.number(estimate.mean, digits, signed)
        clear = signed and estimate.independent >= FEW and (estimate.low > 0 or estimate.high < 0)
        ends = wording.interval(estimate, digits, signed)
        return cls(text, ends, estimate.mean, estimate.low, estimate.high, "clear" if clear else "")

    @classmethod
    def of_reported(cls, text: str) -> Cell:
        """Return a value as the paper prints it."""
        number = re.match(r"[\d.]+", text)
        return cls(text or "–", value=float(number[0]) if number else None)


@dataclass(frozen=True)
class Line:
    """A row.

    Args:
        name: Its name.
        unit: Unit of its numbers.
        arrow: Direction in which they are better.
        cells: A cell per column.
        ends_section: Whether a rule follows it on a terminal.
        encoder: The encoder that it is about, where rows differ in it.
    """

    name: str
    unit: str
    arrow: str
    cells: tuple[Cell, ...]
    ends_section: bool = False
    encoder: str = ""

    @property
    def heading(self) -> str:
        """The name with unit and direction."""
        unit = f" ({self.unit})" if self.unit else ""
        return f"{self.name}{unit} {self.arrow}".strip()


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        name: Name for options and machines, such as ``"scores"``.
        title: Its subject, such as the encoder, the generator and the targets.
        note: How to read it, in sentences.
        columns: Headings. Those of reported values end in "reported".
        lines: The rows.
        warnings: Caveats to show wherever the numbers are shown.
        corner: Heading of the headings of the rows.
        about: The encoder, generator and data set of all rows, in columns of their own in CSV and JSON.
    """

    name: str
    title: str
    note: str
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    warnings: tuple[str, ...] = ()
    corner: str = ""
    about: About = field(default_factory=dict)

    @property
    def caption(self) -> str:
        """Title and note."""
        return f"{self.title}. {self.note}".strip()

    @property
    def remarks(self) -> str:
        """Note and warnings."""
        return " ".join(filter(None, [self.note, *(f"Warning: {text}" for text in self.warnings)]))

    @property
    def legend(self) -> str:
        """Title, note and warnings."""
        return f"{self.title}. {self.remarks}".strip()


def for_terminal(table: Table, width: int) -> Group:
    """Return a table for a terminal of ``width`` columns; a wide one is split into blocks of columns."""
    corner = max(map(len, [table.corner, *(line.heading for line in table.lines)]))
    room = width - min(corner, int(width * _HEADING))
    places = range(len(table.columns))
    single = [_width(table, place, stacked=False) for place in places]
    stacked = sum(single) > room
    widths = [_width(table, place, stacked=True) for place in places] if stacked else single
    parts: list[RichTable | Text] = [Text(f"\n{table.title}", "bold")]
    for chosen in _fitting(widths, room):
        parts += [_block(table, chosen, stacked), Text()]
    return Group(*parts[:-1], Text(table.remarks, "italic"))


def _width(table: Table, place: int, *, stacked: bool) -> int:
    """Return the width that a column needs, with its margin; stacked intervals stand below their numbers."""
    words = table.columns[place].split()
    cells = [line.cells[place] for line in table.lines]
    parts = [part for cell in cells for part in ((cell.text, cell.interval) if stacked else (cell.whole,))]
    return max(map(len, [*words, *parts, ""])) + _MARGIN


def _fitting(widths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Yield the columns of each block: as many as there is room for, at least one."""
    block: list[int] = []
    for place, width in enumerate(widths):
        if block and sum(widths[other] for other in block) + width > room:
            yield block
            block = []
        block.append(place)
    yield block


def _block(table: Table, places: Sequence[int], stacked: bool) -> RichTable:
    block = RichTable(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="")
    # Names of plugins, files and people are text, never markup.
    block.add_column(Text(table.corner), overflow="fold")
    for place in places:
        numeric = any(line.cells[place].value is not None for line in table.lines)
        block.add_column(Text(table.columns[place]), justify="right" if numeric else "left", overflow="fold")
    for line in table.lines:
        cells = []
        for place in places:
            cell = line.cells[place]
            text = "\n".join(filter(None, (cell.text, cell.interval))) if stacked else cell.whole
            cells.append(Text(text, _STYLES.get(cell.style, "")))
        block.add_row(Text(line.heading), *cells, end_section=line.ends_section)
    return block


def as_markdown(tables: Sequence[Table]) -> str:
    """Return Markdown tables."""
    parts = []
    for table in tables:
        rows = [[table.corner, *table.columns]]
        rows += [[line.heading, *(cell.whole for cell in line.cells)] for line in table.lines]
        head, *lines = (f"| {' | '.join(map(_markdown, row))} |" for row in rows)
        parts.append("\n".join([head, f"| --- {'| ---: ' * len(table.columns)}|", *lines, "", _markdown(table.legend)]))
    return "\n\n".join(parts) + "\n"


def as_latex(tables: Sequence[Table]) -> str:
    """Return LaTeX tables for the package booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    for table in tables:
        body = [[_latex(line.heading), *map(_latex_cell, line.cells)] for line in table.lines]
        head, *rows = (_latex_row(row) for row in [[_latex(table.corner), *map(_latex, table.columns)], *body])
        parts.append(
            "\n".join(
                [
                    r"\begin{table}",
                    r"\centering",
                    rf"\caption{{{_latex(table.legend)}}}",
                    rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
                    r"\toprule",
                    head,
                    r"\midrule",
                    *rows,
                    r"\bottomrule",
                    r"\end{tabular}",
                    r"\end{table}",
                ]
            )
        )
    return "\n\n".join(parts) + "\n"


def as_csv(tables: Sequence[Table]) -> str:
    """Return one line per number, with all its digits; shares are between 0 and 1, as in the records."""
    heads = ("table", *ABOUT, "row", "column", "printed", "value", "low", "high", "unit", "reported", "warning")
    rows: list[list[Any]] = [
        [
            *(table.name, *(_about(table, line).get(key, "") for key in ABOUT)),
            *(line.name, heading, cell.text, cell.value, cell.low, cell.high, line.unit),
            int("reported" in heading or line.name.endswith("reported")),
            " ".join(table.warnings),
        ]
        for table in tables
        for line in table.lines
        for heading, cell in zip(table.columns, line.cells, strict=True)
    ]
    return csv_text(heads, rows)


def _about(table: Table, line: Line) -> About:
    return {**table.about, "encoder": line.encoder} if line.encoder else table.about


def csv_text(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return CSV. A text that a spreadsheet would take for a formula begins with an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(heads)
    writer.writerows([_csv(value) for value in row] for row in rows)
    return buffer.getvalue()


def as_objects(tables: Sequence[Table]) -> list[dict[str, Any]]:
    """Return the tables for JSON, numbers with all their digits."""
    return [
        {
            "table": table.name,
            "caption": table.caption,
            **{key: table.about[key] for key in ABOUT if key in table.about},
            "warnings": list(table.warnings),
            "columns": list(table.columns),
            "rows": [
                {
                    "name": line.name,
                    **({"encoder": line.encoder} if line.encoder else {}),
                    "unit": line.unit,
                    "cells": [
                        {"printed": cell.text, "value": cell.value, "low": cell.low, "high": cell.high}
                        for cell in line.cells
                    ],
                }
                for line in table.lines
            ],
        }
        for table in tables
    ]


_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "−": "$-$", "–": "--",
    "…": r"\dots{}", "×": r"$\times$", "²": r"$^2$", "Δ": r"$\Delta$", "\u00a0": "~",
}  # fmt: skip


def _latex(text: str) -> str:
    """Return ``text`` without anything that LaTeX would take for a command."""
    return _one_line("".join(_LATEX.get(letter, letter) for letter in text))


def _latex_cell(cell: Cell) -> str:
    return _latex(cell.text) + (rf" {{\scriptsize {_latex(cell.interval)}}}" if cell.interval else "")


def _latex_row(cells: Sequence[str]) -> str:
    # After the end of the row before, a bracket or an asterisk would be an argument of it.
    guard = "{}" if cells[0][:1] in ("[", "*") else ""
    return guard + " & ".join(cells) + r" \\"


def _markdown(text: str) -> str:
    # A heading, quotation or reference begins a line, "](" ends the text of a link, and "![" begins an image.
    return re.sub(r"([\\|`<*]|^[#>\[]|\](?=\()|!(?=\[))", r"\\\1", _one_line(text))


def _csv(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value) if value == value else ""
    if isinstance(value, str):
        text = _one_line(value)
        return f"'{text}" if text[:1] in tuple("=+-@") else text
    return value


def _one_line(text: str) -> str:
    """Return ``text`` with a space for each line break and control character."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


#: Text formats by name.
FORMATS: Mapping[str, Callable[[Sequence[Table]], str]] = {
    "latex": as_latex,
    "csv": as_csv,
    "markdown": as_markdown,
}
