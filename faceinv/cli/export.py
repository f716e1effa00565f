"""``faceinv export``: the tables of runs as LaTeX, CSV, Markdown or JSON."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from faceinv.cli.application import Application

_TABLES = ("scores", "success", "identification", "probes")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option(
    "--format", "form", type=click.Choice(["latex", "csv", "markdown", "json"]), required=True, help="Output format."
)
@click.option(
    "--table", "wanted", type=click.Choice(_TABLES), multiple=True, help="Only write this table; by default all."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Output file; by default standard output.")
@click.pass_obj
def export(app: Application, runs: tuple[Path, ...], form: str, wanted: tuple[str, ...], out: Path | None) -> None:
    """Write the tables of runs in the layout of the paper, with its reported values in separate columns.

    'scores' is Table 2 of the paper, 'probes' its Table 1. CSV has one line per number. CSV and JSON keep all
    digits.

    \b
    Examples:
      faceinv export runs/bench --format markdown
      faceinv export runs/bench --format latex --table scores --out table2.tex
    """
    from faceinv.cli.console import json_text
    from faceinv.report.run_tables import exported
    from faceinv.report.runs import read_runs
    from faceinv.report.table import FORMATS, as_objects
    from faceinv.storage.atomic import write_output

    found = read_runs(runs)
    for problem in found.problems:
        app.warn(f"Not exported: {problem}")
    printed = exported(found, wanted)
    for text in dict.fromkeys(text for table in printed for text in table.warnings):
        app.warn(text)
    text = json_text(as_objects(printed)) if form == "json" else FORMATS[form](printed)
    if out is None:
        sys.stdout.write(text)
    else:
        write_output(out, text.encode(errors="backslashreplace"))
        app.say(f"tables: {out}")
