"""``faceinv bench``: the grid, its records, a table and a contact sheet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from faceinv.cli.application import Application
from faceinv.cli.placing import make_executor, placement_options, taken
from faceinv.cli.report import OPEN, finish, make_report
from faceinv.errors import UsageError

if TYPE_CHECKING:
    from faceinv.execution.scheduler import GridRun

F = TypeVar("F", bound=Callable[..., Any])

#: The config file, as the argument of ``bench``, ``config`` and ``train``.
CONFIG_FILE = click.argument("config_file", required=False, type=click.Path(path_type=Path), metavar="[CONFIG.yaml]")


def config_options(command: F) -> F:
    """Add the options that make a config, one for each key that the command line can set."""
    many: dict[str, Any] = {"multiple": True, "metavar": "NAME"}
    for option in reversed(
        [
            click.option("--encoder", **many, help="Encoder under attack."),
            click.option(
                "--critic", multiple=True, metavar="A,B,…", help="Encoders that score identity; never attacked."
            ),
            click.option("--generator", **many, help="Face generator."),
            click.option("--space", metavar="NAME", help="Latent space; the generator's first by default."),
            click.option("--losses", multiple=True, metavar="A,B,…", help="Losses of the objective."),
            click.option("--objective", **many, help="Preset of the weights: balanced or paper."),
            click.option(
                "--loss-weights", multiple=True, metavar="A=W,B=W,…", help="Weights in place of the preset's."
            ),
            click.option("--method", multiple=True, metavar="A,B,…", help="Inversion methods."),
            click.option("--dataset", multiple=True, metavar="NAME[:PATH]", help="Where targets come from."),
            click.option("--labels", metavar="FILE.csv", help="Annotations of the data set's images."),
            click.option("--limit", type=int, help="Number of targets."),
            click.option("--per-person", type=int, help="Targets of one person at most; 0 takes all."),
            click.option("--min-photographs", type=int, help="Take people with so many photographs only."),
            click.option("--skip", type=int, help="Pass over so many targets first; with --per-person 1, people."),
            click.option(
                "--steps",
                multiple=True,
                metavar="N,N,…",
                help="Budgets of a target: image-steps, or queries of scores.",
            ),
            click.option("--seed", type=int, multiple=True, help="Seed of synthetic targets and methods."),
            click.option("--ablate/--no-ablate", default=None, help="Add the prefixes of the losses: id; id,lm; …"),
            click.option("--probes", metavar="PRESET", help="Recipe of the probes: tuned or paper."),
            click.option("--pairs", type=int, help="Synthetic pairs to train on."),
            click.option("--metric", "metrics", **many, help="Score to compute (all by default)."),
            click.option("--recognition", metavar="NAME[:PATH]", help="Data set that encoders are judged on."),
            click.option("--recognition-limit", type=int, help="Photographs of that data set at most."),
            click.option("--weights", multiple=True, metavar="[NAME=]FILE", help="Your own weights file."),
            click.option(
                "--precision", multiple=True, metavar="A,B", help="Of the networks in a step: fp32, bf16 or both."
            ),
            click.option("--compile/--eager", default=None, help="Make the networks of a step by torch.compile."),
            click.option("--device", help="cpu, cuda, cuda:1, …"),
            click.option("--batch-size", metavar="N|auto", help="Targets at a time."),
            click.option(
                "--checkpoint-activations/--keep-activations",
                default=None,
                help="Spend time to save memory in a large generator's backward pass.",
            ),
            click.option("--out", type=click.Path(path_type=Path), help="Run folder."),
        ]
    ):
        command = option(command)
    return command


def overrides(given: dict[str, Any]) -> dict[str, Any]:
    """Return what the command line says: options that were given, weights as a mapping."""
    values = {key: value for key, value in given.items() if value is not None and value != ()}
    values = {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}
    if "weights" in values:
        from faceinv.bench.config import defaults

        encoder = (values.get("encoder") or defaults()["encoder"])[0]
        pairs = [entry.rpartition("=") for entry in values["weights"]]
        values["weights"] = {name or encoder: Path(file) for name, _, file in pairs}
    if "loss_weights" in values:
        values["loss_weights"] = [_weighting(text) for text in values["loss_weights"]]
    return values


def _weighting(text: str) -> dict[str, float]:
    try:
        return {name.strip(): float(weight) for name, weight in (part.split("=") for part in text.split(","))}
    except ValueError:
        raise UsageError(
            f"--loss-weights: '{text}' is no list of NAME=WEIGHT. Allowed is such as: --loss-weights lm=0.3,hist=0.1"
        ) from None


@click.command()
@CONFIG_FILE
@config_options
@placement_options
@click.option("--dry-run", is_flag=True, help="Print the cells, what is there and how long the rest may take.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@OPEN
@click.pass_obj
def bench(
    app: Application, /, config_file: Path | None, dry_run: bool, as_json: bool, open_it: bool, **given: Any
) -> None:
    """Invert descriptors over a grid of choices, score the reconstructions, and print a table.

    Options may repeat and make a grid. What was computed is never computed again: run the same
    command to go on after an interruption.

    \b
    Examples:
      faceinv bench --encoder arcface --losses id,lm,hist
      faceinv bench --encoder arcface --losses id,lm,hist --ablate --limit 64
      faceinv bench --dataset folder:portraits --limit 20 --out runs/portraits
      faceinv bench bench.yaml --dry-run
      faceinv bench bench.yaml --workers 4
      faceinv bench bench.yaml --shard 3/8
    """
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.execution.shards import Shard

    placement = taken(given)
    config, source = load_config(config_file, overrides(given))
    grid = cells(config, app.host, source)
    shard = Shard.parse(placement.shard) if placement.shard else None
    if dry_run:
        from faceinv.cli.planning import show_plan

        show_plan(app, config, grid, as_json)
        return

    from faceinv.cli.progress import reporter
    from faceinv.cli.running import make_runner
    from faceinv.execution.scheduler import GridRun
    from faceinv.report.contact import contact_sheet
    from faceinv.report.identity import identity_tables
    from faceinv.report.tables import as_rows, difference_table, score_table

    for warning in dict.fromkeys(warning for cell in grid for warning in cell.warnings):
        app.warn(warning)
    with reporter(app.console) as progress:
        runner = make_runner(app, config, grid, progress)
        with make_executor(app, placement, config, grid, runner, progress) as executor:
            run = GridRun(runner, grid, executor, shard, progress)
            outcomes = run.run()
    if not outcomes:
        if as_json:
            app.print_json([])
        _say_unfinished(app, run)
        return
    sheet = contact_sheet(runner.folder, outcomes)
    if as_json:
        app.print_json(as_rows(outcomes))
    else:
        app.output.print(score_table(outcomes))
        differences = difference_table(runner.folder, outcomes)
        if differences is not None:
            app.output.print(differences)
        for table in identity_tables(outcomes):
            app.output.print(table)
    for outcome in outcomes:
        if outcome.record["status"] != "ok":
            app.fail(f"{','.join(outcome.cell.losses)} on {outcome.cell.encoder}: {outcome.record['error']}")
    skipped = {tuple(item) for outcome in outcomes for item in outcome.record.get("skipped", [])}
    for name, reason in sorted(skipped):
        app.say(f"skipped {name}: {reason}")
    _say_unfinished(app, run)
    app.say(f"records: {runner.folder.path / 'cells'}")
    if sheet:
        app.say(f"pictures: {sheet}")
    finish(app, make_report(app, (runner.folder.path,), loader=runner.loader), open_it)
    failed = [outcome.record for outcome in outcomes if outcome.record["status"] != "ok"]
    if failed:
        # With nothing to show, the cause is the answer; otherwise "something failed".
        click.get_current_context().exit(failed[0].get("exit_code", 1) if len(failed) == len(outcomes) else 1)


def _say_unfinished(app: Application, run: GridRun) -> None:
    """Say what other shards have still to compute."""
    for number, cell in sorted(run.unfinished.items()):
        targets = sum(map(len, cell.missing))
        app.say(
            f"cell {number + 1} of {len(run.cells)} waits for {targets} target{'s' if targets != 1 else ''} of other "
            f"shards; whichever comes last puts it together."
        )
