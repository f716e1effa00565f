"""``faceinv bench --dry-run``: the grid before anything is computed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from faceinv.bench.plan import Planned, plan
from faceinv.cli.application import Application
from faceinv.cli.timetable import duration

if TYPE_CHECKING:
    from faceinv.bench.cell import Cell
    from faceinv.bench.config import BenchConfig
    from faceinv.bench.phases import Speed

_COLUMNS = (
    "cell", "encoder", "generator", "method", "losses", "data set", "seed", "targets", "steps", "computed", "left",
)  # fmt: skip


def show_plan(app: Application, config: BenchConfig, grid: Sequence[Cell], as_json: bool) -> None:
    """Print each cell, how much of it is computed and an estimate of the time left."""

    def measure() -> Callable[[Cell], Speed]:
        from faceinv.bench.timing import Timing

        return Timing(config, grid, app.host, app.store)

    planned = plan(config, grid, app.host, app.store, measure)
    if as_json:
        app.print_json([item.row() for item in planned])
        return
    rows = []
    for number, item in enumerate(planned, 1):
        cell = item.cell
        computed = {"cached": f"yes ({item.id})", "begun": f"{item.targets_done} targets ({item.id})", "missing": "no"}
        row = [str(number), cell.encoder, cell.generator, cell.method, ",".join(cell.losses), cell.dataset]
        rows.append(
            [*row, str(cell.seed), str(cell.limit), str(cell.steps), computed[item.status], duration(item.seconds)]
        )
    app.print_table(_COLUMNS, rows, right=("cell", "seed", "targets", "steps"))
    app.say(_summary(planned))
    for text in dict.fromkeys(text for item in planned for text in item.unknown):
        app.say(f"A dry run cannot check {text}. If that changed, computed cells no longer apply.")
    fetch = dict.fromkeys(name for item in planned for name in item.fetch)
    if fetch:
        app.say(f"Files to download: {', '.join(fetch)}.")


def _summary(planned: Sequence[Planned]) -> str:
    cached = sum(item.status == "cached" for item in planned)
    left = [item for item in planned if item.status != "cached"]
    text = f"{len(planned)} cell{'s' if len(planned) != 1 else ''}, {cached} of them computed."
    if not left:
        return text
    basis = "; ".join(dict.fromkeys(item.basis for item in left))
    seconds = duration(sum(item.seconds for item in left))
    phases: Counter[str] = Counter()
    for item in left:
        phases.update(item.phases)
    parts = ", ".join(f"{name} {duration(took)}" for name, took in phases.items())
    return f"{text} The rest takes about {seconds} on one worker: {parts} ({basis})."
