"""``faceinv export``: the tables of runs as LaTeX, CSV, Markdown or JSON, and the paper's figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.cli.report import own_page
from faceinv.errors import UsageError

if TYPE_CHECKING:
    from faceinv.report.runs import Runs

_TABLES = (
    "scores",
    "success",
    "identification",
    "cosines",
    "same-person",
    "transfer",
    "probes",
    "leaks",
    "answers",
    "protections",
)


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option("--format", "form", type=click.Choice(["latex", "csv", "markdown", "json"]), help="Format of the tables.")
@click.option(
    "--table", "wanted", type=click.Choice(_TABLES), multiple=True, help="Only write this table; by default all."
)
@click.option(
    "--figure",
    type=click.Choice(["2", "3", "5", "6", "7", "8", "9", "leaks"]),
    help="Draw this figure of the paper, or 'leaks': what an attacker needs. --out names a .png, .pdf or .svg file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Output file; by default standard output, and figure-N.png in the first RUN.",
)
@click.pass_obj
def export(
    app: Application,
    runs: tuple[Path, ...],
    form: str | None,
    wanted: tuple[str, ...],
    figure: str | None,
    out: Path | None,
) -> None:
    """Write the tables of runs in the layout of the paper, with its reported values in separate columns, or a figure.

    'scores' is Table 2 of the paper, 'probes' its Table 1, 'cosines' its Figure 9 in numbers, 'same-person' says what
    Figure 7 claims, and 'transfer' is the matrix of runs that attack several encoders. CSV has one line per number. CSV
    and JSON keep all digits. A figure is drawn once for each encoder, generator and data set of the runs; with several,
    the names of the files say which.

    \b
    Examples:
      faceinv export runs/bench --format markdown
      faceinv export runs/bench --format latex --table scores --out table2.tex
      faceinv export runs/bench --figure 6 --out figure6.pdf
    """
    from faceinv.report.runs import read_runs

    if (form is None) == (figure is None):
        raise UsageError("Give --format for tables, or --figure for a figure: one of both.")
    if figure and wanted:
        raise UsageError("--table is for tables; a figure has none. Omit one of --table and --figure.")
    found = read_runs(runs)
    for problem in found.problems:
        app.warn(f"Not exported: {problem}")
    if figure:
        _write_figure(app, found, figure, out or own_page(runs[0], f"figure-{figure}.png"))
    else:
        _write_tables(app, found, str(form), wanted, out)


def _write_tables(app: Application, runs: Runs, form: str, wanted: tuple[str, ...], out: Path | None) -> None:
    from faceinv.cli.console import json_text
    from faceinv.cli.measuring import stored_measure
    from faceinv.report.run_tables import exported
    from faceinv.report.table import FORMATS, as_objects
    from faceinv.storage.atomic import write_output

    printed = exported(runs, wanted, measure=stored_measure(app))
    for text in dict.fromkeys(text for table in printed for text in table.warnings):
        app.warn(text)
    text = json_text(as_objects(printed)) if form == "json" else FORMATS[form](printed)
    if out is None:
        sys.stdout.write(text)
    else:
        write_output(out, text.encode(errors="backslashreplace"))
        app.say(f"tables: {out}")


def _write_figure(app: Application, runs: Runs, figure: str, out: Path) -> None:
    from faceinv.cli.measuring import stored_measure
    from faceinv.report.figures.drawing import draw
    from faceinv.report.figures.leaks import draw_leaks
    from faceinv.report.figures.sheet import FORMATS
    from faceinv.storage.atomic import write_output

    form = out.suffix[1:].lower()
    if form not in FORMATS:
        raise UsageError(f"A figure is a {', '.join(f'.{name}' for name in FORMATS)} file, and --out is '{out}'.")
    drawings = draw_leaks(runs) if figure == "leaks" else draw(runs, int(figure), stored_measure(app))
    for drawing in drawings:
        file = out if len(drawings) == 1 else out.with_name(f"{out.stem}-{drawing.name}{out.suffix}")
        write_output(file, drawing.content(form))
        app.say(f"figure: {file}")
        app.say(drawing.caption)
