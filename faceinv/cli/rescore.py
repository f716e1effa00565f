"""``faceinv rescore``: new scores of the pictures that a run keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.cli.options import config_options, overrides
from faceinv.cli.report import OPEN, finish, make_report
from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from faceinv.bench.cell import Cell
    from faceinv.bench.runner import Outcome
    from faceinv.plugins.host import Host

#: Keys of the config that say how pictures are scored, and where.
_KEYS = ("critic", "metrics", "recognition", "recognition_limit", "weights", "device")


@click.command()
@click.argument("run", type=click.Path(path_type=Path), metavar="RUN")
@config_options(only=_KEYS)
@click.option(
    "--dataset", metavar="NAME[:PATH]", help="Where the targets' data set is now, if it has moved; same content."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the new run; RUN-rescored.")
@click.option("--json", "as_json", is_flag=True, help="Print the rows as JSON.")
@OPEN
@click.pass_obj
def rescore(
    app: Application, /, run: Path, dataset: str | None, out: Path | None, as_json: bool, open_it: bool, **given: Any
) -> None:
    """Score the pictures of a run again with other critics and metrics, without inverting again.

    What is not given stays as it was in the run. The new records name those that the pictures come from; the pictures
    are linked, not copied. Nothing is scored twice: after an interruption, run the same command again.

    \b
    Examples:
      faceinv rescore runs/bench --critic sface
      faceinv rescore runs/bench --critic facenet,sface --metrics id_sim_critic --metrics success --out runs/two
      faceinv rescore runs/bench --recognition lfw:LFW
    """
    from faceinv.bench.config import load_config
    from faceinv.bench.phases import Phase
    from faceinv.bench.rescoring import Rescorer, kept_cells
    from faceinv.bench.runner import Outcome
    from faceinv.bench.setup import make_runner
    from faceinv.cli.bench import print_results

    keys = overrides(given, app.host)
    out = out or run.with_name(f"{run.resolve().name}-rescored")
    if out.resolve() == run.resolve():
        raise UsageError(f"--out {out} is the run itself; its records stay as they are. Name another folder.")
    config, _ = load_config(None, keys | {"out": out})
    found = list(kept_cells(run))
    problems = [item for item in found if isinstance(item, InputError)]
    kept = [item for item in found if not isinstance(item, InputError)]
    scored = [scored_cell(item.cell, keys, dataset, app.host) for item in kept]
    for warning in dict.fromkeys(warning for cell in scored for warning in cell.warnings):
        app.warn(warning)
    outcomes: list[Outcome] = []
    labels = [f"cell {number} of {len(kept)}: scoring" for number in range(1, len(kept) + 1)]
    phases = [Phase(label, 0.05 * item.record.n, "scoring") for label, item in zip(labels, kept, strict=True)]
    with app.progress(phases) as display:
        runner = make_runner(app.host, app.store, config, [], progress=display, say=app.say)
        rescorer = Rescorer(runner.resources, progress=display, say=app.say)
        for item, cell, label in zip(kept, scored, labels, strict=True):
            try:
                record, cached = rescorer.rescore(item, cell, label)
                outcomes.append(Outcome(cell, record.id, record, cached))
            except InputError as error:
                problems.append(error)
        with display.hidden():
            if outcomes:
                print_results(app, runner.folder, outcomes, as_json)
            elif as_json:
                app.print_json([])
            for problem in problems:
                app.fail(str(problem))
        page = make_report(app, (out,), loader=runner.loader) if outcomes else None
    if page:
        finish(app, page, open_it)
    if problems:
        # As in bench: if nothing could be scored, the exit code is the error's own.
        click.get_current_context().exit(1 if outcomes else InputError.exit_code)


def scored_cell(cell: Cell, keys: Mapping[str, Any], dataset: str | None, host: Host) -> Cell:
    """Return the cell with what is to score it.

    Args:
        cell: The cell of a run.
        keys: Keys of a config that replace its own: critics, metrics, and what thresholds are measured on.
        dataset: Where its data set is now, or ``None``.
        host: The plugins.

    Raises:
        UsageError: if a name is unknown, or the data set is another one.
    """
    from faceinv.bench.config import TARGETS
    from faceinv.bench.grid import critics_of, named_dataset

    changed: dict[str, Any] = {}
    if "critic" in keys:
        changed["critics"] = critics_of(keys["critic"], cell.encoder, host)
    if "metrics" in keys:
        changed["metrics"] = tuple(host.spec("metric", name).name for name in keys["metrics"])
    if "recognition" in keys:
        given = keys["recognition"]
        changed["recognition"] = given if given == TARGETS else named_dataset(given, host)[0]
        changed["recognition_limit"] = 0 if given == TARGETS else keys.get("recognition_limit", 1000)
    elif "recognition_limit" in keys and cell.recognition != TARGETS:
        changed["recognition_limit"] = keys["recognition_limit"]
    if dataset:
        changed["dataset"], spec = named_dataset(dataset, host)
        own = cell.dataset.partition(":")[0]
        if spec.name != own:
            raise UsageError(f"--dataset {dataset}: the targets are from '{own}'. Say where that is now: {own}:PATH.")
    return replace(cell, **changed)
