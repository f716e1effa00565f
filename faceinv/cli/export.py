"""``faceinv export``: a run's tables in other people's formats."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from faceinv.cli.application import Application

_TABLES = ("scores", "success", "identification", "probes")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option(
    "--format", "form", type=click.Choice(["latex", "csv", "markdown", "json"]), required=True, help="What to write."
)
@click.option("--table", "wanted", type=click.Choice(_TABLES), multiple=True, help="Only this table; all by default.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The file; standard output by default.")
@click.pass_obj
def export(app: Application, runs: tuple[Path, ...], form: str, wanted: tuple[str, ...], out: Path | None) -> None:
    """Write the tables of runs as the paper prints them, with its reported values in columns of their own.

    'scores' is the paper's Table 2, 'probes' its Table 1. CSV has one line a number; it and JSON keep all digits.

    \b
    Examples:
      faceinv export runs/bench --format markdown
      faceinv export runs/bench --format latex --table scores --out table2.tex
    """
    from faceinv.cli.console import json_text
    from faceinv.report.run_tables import exported
    from faceinv.report.runs import read_runs
    from faceinv.report.table import FORMATS, as_objects
    from faceinv.storage.atomic import write_atomically

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
        write_atomically(out, text.encode())
        app.say(f"tables: {out}")
