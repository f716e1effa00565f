"""``faceinv submit``: the results of a run in one file."""

from __future__ import annotations

from pathlib import Path

import click

from faceinv.cli.application import Application
from faceinv.errors import InputError


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The file; submission.json in RUN.")
@click.pass_obj
def submit(app: Application, run: Path, out: Path | None) -> None:
    """Write the results of a run into one file that others can check and compare with their own.

    It has the records (config, hashes of code and weights, plugins with their versions, scores), the scores of every
    target, and the hash of every picture. It has no picture. 'faceinv verify FILE RUN' recomputes the scores;
    'faceinv compare' and 'faceinv export' take the file in place of a run.

    \b
    Examples:
      faceinv submit runs/bench
      faceinv submit runs/bench --out mine.json
    """
    from faceinv.bench.checking import check_pictures
    from faceinv.bench.rescoring import kept_cells
    from faceinv.storage.atomic import write_output
    from faceinv.storage.submissions import submission_text

    found = list(kept_cells(run))
    for item in found:
        if isinstance(item, InputError):
            raise item
    kept = [item for item in found if not isinstance(item, InputError)]
    for item in kept:
        check_pictures(item)
    text = submission_text([(item.record, dict(item.rows)) for item in kept])
    path = out or run / "submission.json"
    write_output(path, text.encode())
    for place in dict.fromkeys(value for item in kept for value in _places(item.cell.dataset, item.cell.labels)):
        app.warn(f"The file contains the path '{place}'. Run with a path relative to the working folder to avoid that.")
    if any(item.record.real for item in kept):
        app.warn("The targets are photographs: the file contains their names, and the people's if they are known.")
    app.say(f"{len(kept)} cell{'s' if len(kept) != 1 else ''}, {len(text.encode()) / 1000:.0f} kB: {path}")


def _places(dataset: str, labels: str) -> list[str]:
    """Return the absolute paths of a config."""
    return [path for path in (dataset.partition(":")[2], labels) if path and Path(path).is_absolute()]
