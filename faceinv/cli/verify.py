"""``faceinv verify``: check that the files of runs are what their records say."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from faceinv.cli.application import Application


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option("--json", "as_json", is_flag=True, help="Print the state of every file as JSON.")
@click.pass_obj
def verify(app: Application, runs: tuple[Path, ...], as_json: bool) -> None:
    """Check that rows, pictures and records of runs are as they were written.

    A record has the SHA-256 of each of its files and of itself. This finds damage and edits; it does not prove who
    wrote the run. Exits with 1 unless every file is what its record says; the command that made the run repairs it.

    \b
    Examples:
      faceinv verify runs/bench
      faceinv verify runs/bench --json
    """
    from faceinv.data.targets import read_targets
    from faceinv.storage.verifying import Verified, verify as verified

    found = [item for run in runs for item in verified(run)]
    for folder in (path for run in runs for path in sorted((run / "targets").glob("*")) if path.is_dir()):
        whole = read_targets(folder) is not None
        found.append(
            Verified(folder, "ok") if whole else Verified(folder, "changed", "the index or a target was changed")
        )
    wrong = [item for item in found if item.state != "ok"]
    if as_json:
        app.print_json([{"file": str(item.file), "state": item.state, "reason": item.reason} for item in found])
    elif wrong:
        app.print_table(("state", "file", "reason"), [(item.state, str(item.file), item.reason) for item in wrong])
    counts = Counter(item.state for item in found)
    app.say(f"{len(found)} files: {', '.join(f'{count} {state}' for state, count in sorted(counts.items()))}")
    if wrong:
        click.get_current_context().exit(1)
