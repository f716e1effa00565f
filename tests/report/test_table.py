"""One table, many formats: nothing in a name is taken for a command, and 80 columns are enough."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given, strategies as st
from rich.console import Console

from faceinv.report.table import Cell, Line, Table, as_csv, as_latex, as_markdown, for_terminal

SPECIAL = [
    *r"\&%$#_{}~^<>|[]*`",
    '"',
    "²",
    "−",
    "–",
    "…",
    "Δ",
    "\n",
    "\t",
    "\x1b",
    "\u00a0",
    "[bold]",
    r"\end{table}",
    ":)",
]


def table(name: str, columns: int = 2) -> Table:
    cells = (Cell(name, f"[{name}]", 0.5, 0.25, 0.75),) * columns
    return Table("scores", name, name, (name,) * columns, (Line(name, name, "↑", cells),) * 2, (name,), name)


@pytest.mark.parametrize("name", SPECIAL)
def test_latex_takes_no_name_for_a_command(name: str) -> None:
    text = as_latex([table(f"a{name}b")]).partition("\n")[2]
    allowed = (
        r"\\(begin|end)\{(table|tabular)\}|\{lrr\}|\\caption\{|\\(top|mid|bottom)rule|\\centering"
        r"|\{\\scriptsize |\\\\\n"
        r"|\\text(backslash|asciitilde|asciicircum|less|greater|bar|quotedbl)\{\}|\\dots\{\}|\\[&%$#_{}]"
        r"|\$(\\(uparrow|downarrow|times|Delta)|-|\^2)\$| & |~"
    )
    left = re.sub(allowed, "", text)
    # What is left of the braces closes \caption{ and {\scriptsize.
    assert not re.findall(r"[\\&%$#_{~^<>|\x1b\t]", left), left
    assert left.count("}") == text.count(r"\caption{") + text.count(r"{\scriptsize ")


def test_latex_rows_do_not_begin_with_an_argument() -> None:
    assert not re.findall(r"\\\\\n\s*[\[*]", as_latex([table("[x]"), table("*")]))


@given(st.text(max_size=12))
def test_csv_holds_any_name_and_no_formula(name: str) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv([table(name)]), newline="")))
    assert len(rows) == 4
    assert all(float(row["value"]) == 0.5 and row["row"][:1] not in tuple("=+-@\t\r") for row in rows)


@pytest.mark.parametrize("name", SPECIAL)
def test_markdown_rows_are_one_line_and_as_wide_as_the_head(name: str) -> None:
    head, rule, *rows = as_markdown([table(f"a{name}b")]).split("\n\n")[0].splitlines()
    assert rule == "| --- | ---: | ---: |"
    assert len(rows) == 2
    for line in (head, *rows):
        assert len(re.findall(r"(?<!\\)\|", re.sub(r"\\\\", "", line))) == 4
        assert "<" not in re.sub(r"\\<", "", line)


@pytest.mark.parametrize("name", ["[bold]x[/bold]", "[/]", ":smile:", "x" * 70])
@pytest.mark.parametrize("columns", [1, 3, 40])
def test_a_terminal_of_80_columns_shows_every_cell(name: str, columns: int) -> None:
    out = io.StringIO()
    cells = tuple(Cell(f"{place}.50", f"[{place}.25, {place}.75]", place) for place in range(columns))
    shown = Table("t", name, name, tuple(map(str, range(columns))), (Line(name, "dB", "↑", cells),))
    Console(file=out, width=80, highlight=False).print(for_terminal(shown, 80))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for cell in cells:
        assert any(cell.text in line for line in lines)
        assert any(cell.interval in line for line in lines)
    # Long names are folded over lines, and nothing of them is interpreted.
    assert name[:10] in out.getvalue()
