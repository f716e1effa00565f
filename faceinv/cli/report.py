"""``faceinv report``: one self-contained HTML page about one or more runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application
from faceinv.cli.groups import GroupTables, Wanted, group_options

if TYPE_CHECKING:
    from faceinv.models.loader import Loader
    from faceinv.report.table import Table

#: Option of every command that writes a page.
OPEN = click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN…")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="The page; report.html in the first RUN.")
@click.option("--no-images", is_flag=True, help="Aggregates only: no pictures, names or scores of single targets.")
@group_options
@OPEN
@click.pass_obj
def report(
    app: Application,
    runs: tuple[Path, ...],
    out: Path | None,
    no_images: bool,
    groups: str | None,
    group_labels: Path | None,
    open_it: bool,
) -> None:
    """Write one HTML page about runs. It contains its pictures and needs no network, so it can be sent as it is.

    Runs of 'faceinv bench', 'faceinv invert' and 'faceinv probe' can be combined.

    \b
    Examples:
      faceinv report runs/bench --open
      faceinv report runs/bench runs/probe --out audit.html
      faceinv report runs/bench --no-images --out public.html
      faceinv report runs/bench --groups sex,age --group-labels people.csv
      faceinv report runs/bench --groups predicted:male
    """
    path = make_report(app, runs, out, images=not no_images, groups=Wanted.taken(groups, group_labels))
    finish(app, path, open_it)


def make_report(
    app: Application,
    runs: tuple[Path, ...],
    out: Path | None = None,
    *,
    images: bool = True,
    loader: Loader | None = None,
    groups: Wanted | None = None,
    quiet: bool = False,
) -> Path:
    """Write the page of ``runs`` and return its path.

    Args:
        app: The command's application.
        runs: The run folders.
        out: The page; ``report.html`` in the first run by default.
        images: Whether pictures go into it.
        loader: Has the networks that measure pictures, if the command has built them already.
        groups: The groups that scores are compared by; their tables are printed as well.
        quiet: Print none of them.
    """
    from faceinv.cli.measuring import stored_measure
    from faceinv.report.page import render
    from faceinv.report.runs import read_runs

    found = read_runs(runs)
    for problem in found.problems:
        app.warn(f"Not in the report: {problem}")
    kept = [column for column in found.columns if images and column.folder.path.is_dir()]
    for column in kept:
        for file in column.folder.changed(column.record):
            app.warn(f"{file} is missing or not what its record says; 'faceinv verify {column.folder.path}' lists all.")
            break
    measure = stored_measure(app, loader) if images and found.studies else None
    by_group: tuple[Table, ...] = ()
    if groups:
        from faceinv.report.table import for_terminal

        by_group = GroupTables(app, groups, loader).of_runs(found)
        for table in () if quiet else by_group:
            app.output.print(for_terminal(table, app.output.width))
    page = render(found, host=app.host, measure=measure, images=images, groups=by_group)
    return write_html(page, out, own_page(runs[0], "report.html"))


def own_page(run: Path, name: str) -> Path:
    """Return where the page ``name`` of a run goes: into its folder, or next to a submission."""
    return run / name if run.is_dir() else run.with_name(f"{run.stem}-{name}")


def write_html(page: str, out: Path | None, own: Path) -> Path:
    """Write a page to where the user said, or to its ``own`` place in a run folder, and return its path.

    Raises:
        StorageError: if it cannot be written.
    """
    from faceinv.storage.atomic import write_atomically, write_output

    content = page.encode(errors="backslashreplace")
    # The run may come from somebody else: a link in it is replaced, not followed.
    if out:
        write_output(out, content)
    else:
        write_atomically(own, content)
    return out or own


def finish(app: Application, path: Path, open_it: bool) -> None:
    """Print the path of the page as the last line, and open the page if asked to."""
    app.say(f"report: {path}")
    if open_it:
        import webbrowser

        if not webbrowser.open(path.resolve().as_uri()):
            app.warn(f"No browser could be started. Open {path} yourself.")
