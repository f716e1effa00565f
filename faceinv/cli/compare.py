"""``faceinv compare``: compare runs on their common targets."""

from __future__ import annotations

from pathlib import Path

import click

from faceinv.cli.application import Application
from faceinv.cli.report import OPEN, finish, own_page, write_html
from faceinv.errors import UsageError


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN [RUN…]")
@click.option("--losses", default="", metavar="A,B,…", help="Only use cells with these losses.")
@click.option(
    "--reference", default="", metavar="METHOD", help="With one RUN: the method that others are compared with."
)
@click.option(
    "--also",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE.json",
    help="With one RUN: --json output of earlier runs on the same targets, to be added.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The page; by default methods.html in the RUN, or compare.html in the last of several.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the differences as JSON.")
@OPEN
@click.pass_obj
def compare(
    app: Application,
    runs: tuple[Path, ...],
    losses: str,
    reference: str,
    also: tuple[Path, ...],
    out: Path | None,
    as_json: bool,
    open_it: bool,
) -> None:
    """Compare runs target by target: the first run is subtracted from each of the others.

    With one run: a leaderboard of its methods at each budget, with paired differences to one of them, and
    curves of score against budget.

    Differences have 95 % bootstrap intervals and a verdict per score: better, worse, or no difference at this n.
    Runs with different targets are refused.

    \b
    Examples:
      faceinv compare runs/methods
      faceinv compare runs/methods --also earlier.json --json > together.json
      faceinv compare runs/50-steps runs/200-steps
      faceinv compare runs/a runs/b --losses id,lm,hist --json
    """
    from faceinv.report.comparison import as_objects, compare as compare_runs
    from faceinv.report.comparison_page import comparison_table, render_comparison
    from faceinv.report.kept_boards import as_objects as boards_as_objects, joined, read_boards
    from faceinv.report.leaderboard import leaderboards
    from faceinv.report.leaderboard_table import leaderboard_table
    from faceinv.report.methods_page import render_leaderboards
    from faceinv.report.runs import read_runs
    from faceinv.report.table import for_terminal

    if len(runs) < 2:
        kept = [board for path in also for board in read_boards(path, losses)]
        boards = joined(leaderboards(read_runs(runs), losses, reference, kept), kept)
        if as_json:
            app.print_json(boards_as_objects(boards))
        else:
            for board in boards:
                app.output.print(for_terminal(leaderboard_table(board), app.output.width))
        finish(app, write_html(render_leaderboards(boards), out, own_page(runs[0], "methods.html")), open_it)
        return
    if also:
        raise UsageError("--also adds to the leaderboard of one run; give a single RUN.")
    if reference:
        raise UsageError("--reference names a method of one run; of several runs the first is the reference.")
    first, *others = (read_runs([path]) for path in runs)
    found = [item for other in others for item in compare_runs(first, other, losses)]
    for text in dict.fromkeys(text for item in found for text in item.warnings):
        app.warn(text)
    if as_json:
        app.print_json(as_objects(found))
    else:
        for item in found:
            app.output.print(for_terminal(comparison_table(item), app.output.width))
            app.print_line(item.verdict)
    finish(app, write_html(render_comparison(found), out, own_page(runs[-1], "compare.html")), open_it)
