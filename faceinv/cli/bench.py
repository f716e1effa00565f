"""``faceinv bench``: the grid, its records, a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.cli.execution import make_executor, placement_options, taken
from faceinv.cli.groups import GroupTables, Wanted, group_options
from faceinv.cli.options import CONFIG_FILE, config_options, overrides
from faceinv.cli.report import OPEN, finish, make_report
from faceinv.errors import StorageError

if TYPE_CHECKING:
    from faceinv.bench.runner import Outcome
    from faceinv.execution.scheduler import GridRun
    from faceinv.storage.run_folder import RunFolder


@click.command()
@CONFIG_FILE
@config_options()
@placement_options
@click.option("--dry-run", is_flag=True, help="Print the cells, which of them exist, and an estimate of the time left.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@group_options
@OPEN
@click.pass_obj
def bench(
    app: Application,
    /,
    config_file: Path | None,
    dry_run: bool,
    as_json: bool,
    groups: str | None,
    group_labels: Path | None,
    open_it: bool,
    **given: Any,
) -> None:
    """Invert descriptors over a grid of choices, score the reconstructions, and print a table.

    Repeated options make a grid. Nothing is computed twice: after an interruption, run the same
    command again to continue.

    \b
    Examples:
      faceinv bench --encoder arcface --losses id,lm,hist
      faceinv bench --encoder arcface --losses id,lm,hist --ablate --limit 64
      faceinv bench --dataset folder:portraits --limit 20 --out runs/portraits
      faceinv bench clean-licences
      faceinv bench bench.yaml --dry-run
      faceinv bench bench.yaml --workers 4
      faceinv bench bench.yaml --shard 3/8
      faceinv bench --dataset lfw:LFW --limit 200 --per-person 1 --groups predicted:male
    """
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.execution.shards import Shard

    placement, wanted = taken(given), Wanted.taken(groups, group_labels)
    config, source = load_config(config_file, overrides(given, app.host))
    grid = cells(config, app.host, source)
    shard = Shard.parse(placement.shard) if placement.shard else None
    if dry_run:
        from faceinv.cli.plan import show_plan

        show_plan(app, config, grid, as_json)
        return

    from faceinv.bench.phases import bench_phases
    from faceinv.bench.reporting import Reporters
    from faceinv.bench.setup import make_runner
    from faceinv.cli.files import check_outputs
    from faceinv.cli.pictures import GrowingSheet
    from faceinv.execution.scheduler import GridRun
    from faceinv.storage.run_folder import RunFolder

    pages = [config.out / name for name in ("contact.png", "report.html")]
    check_outputs(pages, [config_file, *config.weights.values()], RunFolder(config.out).records)
    for warning in dict.fromkeys(warning for cell in grid for warning in cell.warnings):
        app.warn(warning)
    phases = bench_phases(config, grid, app.host, app.store, shard.of if shard else 1)
    reporters = Reporters.of(app.host, config.reporter, app.warn)
    with app.progress(phases) as display, reporters:
        reporters.run_started(config.out, config, len(grid))
        runner = make_runner(app.host, app.store, config, grid, progress=display, say=app.say)
        if wanted:
            GroupTables(app, wanted, runner.loader).check(config)
        with make_executor(app, placement, config, grid, runner, display) as executor:
            run = GridRun(runner, grid, executor, shard, display, reporters=reporters)
            run.on_pictures = GrowingSheet(run, app.say).refresh
            outcomes = run.run()
        with display.hidden():
            if outcomes:
                print_results(app, runner.folder, outcomes, as_json)
            elif as_json:
                app.print_json([])
            _say_unfinished(app, run)
        if not outcomes:
            reporters.run_done(None)
            return
        display("report", 0, 1)
        page = make_report(app, (runner.folder.path,), loader=runner.loader, groups=wanted, quiet=as_json)
        reporters.run_done(page)
    finish(app, page, open_it)
    codes = [outcome.record.exit_code for outcome in outcomes if outcome.record.status == "failed"]
    if codes:
        # If every cell failed, exit with the first one's code; otherwise 1, "something failed".
        click.get_current_context().exit(codes[0] if len(codes) == len(outcomes) else 1)


def print_results(app: Application, folder: RunFolder, outcomes: Sequence[Outcome], as_json: bool) -> None:
    """Print the tables, then failures, skipped images and where the files are."""
    from faceinv.report.answers import answers_sheet
    from faceinv.report.contact import contact_sheet
    from faceinv.report.run_tables import as_rows, shown
    from faceinv.report.runs import read_runs
    from faceinv.report.table import for_terminal

    runs = read_runs((folder.path,)).only(outcome.id for outcome in outcomes)
    columns = {column.id: column for column in runs.columns}
    if as_json:
        app.print_json(as_rows([columns[outcome.id] for outcome in outcomes if outcome.id in columns]))
    else:
        for table in shown(runs):
            app.output.print(for_terminal(table, app.output.width))
    for outcome in outcomes:
        if outcome.record.status == "failed":
            app.fail(f"{','.join(outcome.cell.losses)} on {outcome.cell.encoder}: {outcome.record.error}")
    skipped = {tuple(item) for column in columns.values() for item in column.record.skipped}
    for name, reason in sorted(skipped):
        app.say(f"skipped {name}: {reason}")
    app.say(f"records: {folder.path / 'cells'}")
    try:
        sheet, certainty = contact_sheet(runs), answers_sheet(runs)
    except StorageError as error:
        app.warn(f"No contact sheet: {error}")
    else:
        if sheet:
            app.say(f"pictures: {sheet}")
        if certainty:
            app.say(f"what is known and what is guessed: {certainty}")


def _say_unfinished(app: Application, run: GridRun) -> None:
    """Report the targets that other shards still have to compute."""
    for number, cell in sorted(run.unfinished.items()):
        targets = sum(map(len, cell.missing))
        app.say(
            f"cell {number + 1} of {len(run.cells)} waits for {targets} target{'s' if targets != 1 else ''} of other "
            f"shards; the last shard to finish scores it."
        )
