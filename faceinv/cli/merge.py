"""``faceinv merge``: join runs that were computed separately."""

from __future__ import annotations

from pathlib import Path

import click

from faceinv.cli.application import Application
from faceinv.cli.report import OPEN, finish, make_report


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR…")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="Folder of the joined run.")
@click.option("--json", "as_json", is_flag=True, help="Print the state of the cells as JSON.")
@OPEN
@click.pass_obj
def merge(app: Application, runs: tuple[Path, ...], out: Path, as_json: bool, open_it: bool) -> None:
    """Join runs that were computed separately, such as the shards of a grid on machines without a shared folder.

    Runs that one command could not have made are refused: different schema, code, weights or config, or
    different numbers for the same cell. If all targets of a cell were computed, but in different runs, run the
    command that made them again with --out DIR: it scores the cell without computing anything again.

    \b
    Examples:
      faceinv merge shard-1 shard-2 --out whole
    """
    from dataclasses import asdict

    from faceinv.storage.merging import merge as join

    merged = join(runs, out)
    if as_json:
        app.print_json(asdict(merged))
    complete = [name for name, missing in merged.unfinished.items() if not missing]
    for name, missing in merged.unfinished.items():
        if missing:
            app.fail(f"cell {name} lacks {missing} target{'s' if missing != 1 else ''}: a shard is missing.")
    for name in merged.failed:
        app.fail(f"cell {name} failed in every run.")
    if complete:
        app.say(
            f"{len(complete)} cell{'s are' if len(complete) != 1 else ' is'} complete except for scores that need "
            f"all targets: run the command that made the shards with --out {out}, without --shard."
        )
    app.say(f"{len(merged.finished)} finished cell{'s' if len(merged.finished) != 1 else ''}: {out / 'cells'}")
    if merged.finished:
        finish(app, make_report(app, (out,)), open_it)
    if merged.failed or any(merged.unfinished.values()):
        click.get_current_context().exit(1)
