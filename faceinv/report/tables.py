"""Records as tables: for people, and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from faceinv.bench.runner import Outcome
from faceinv.report import wording
from faceinv.scoring.statistics import Estimate, paired_difference
from faceinv.storage.run_folder import RunFolder


def as_rows(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return one object per finished cell, for ``--json``."""
    return [
        {
            "encoder": outcome.cell.encoder,
            "critic": outcome.cell.critic,
            "critics": list(outcome.cell.critics),
            "generator": outcome.cell.generator,
            "method": outcome.cell.method,
            "losses": ",".join(outcome.cell.losses),
            "objective": outcome.cell.objective,
            "dataset": outcome.cell.dataset,
            "seed": outcome.cell.seed,
            "steps": outcome.cell.steps,
            "access": outcome.record["access"],
            "queries": outcome.record["queries"],
            "image_steps": outcome.record["image_steps"],
            "image_steps_mean": outcome.record.get("image_steps_mean", outcome.record["image_steps"]),
            "n": outcome.record["n"],
            "real": outcome.record["real"],
            "id": outcome.id,
            "warnings": outcome.record["warnings"],
            "metrics": outcome.record["metrics"],
            "recognition": outcome.record["recognition"],
            **{name: outcome.record[name] for name in ("success", "identification") if name in outcome.record},
            "probes": outcome.record["probes"],
            "left_out": outcome.record["left_out"],
        }
        for outcome in finished_cells(outcomes)
    ]


def score_table(outcomes: Sequence[Outcome]) -> Table:
    """Return a table with a column per cell and a row per metric, means with 95 % intervals."""
    finished = finished_cells(outcomes)
    table = titled(_title(finished))
    warnings = dict.fromkeys(warning for outcome in finished for warning in outcome.record["warnings"])
    table.caption = "\n".join(["mean [95 % interval]", *(f"warning: {warning}" for warning in warnings)])
    table.add_column("metric")
    for outcome in finished:
        table.add_column(heading(outcome, finished), justify="right")
    for name in _metric_names(finished):
        cells = [_mean(name, outcome.record["metrics"].get(name)) for outcome in finished]
        table.add_row(_label(name, finished), *cells)
    probes = {name: score for outcome in finished for name, score in outcome.record["probes"].items()}
    for name, score in sorted(probes.items()):
        text = f"{score['descriptor']:.2f} (guess {score['baseline']:.2f})"
        cells = [text if name in outcome.record["probes"] else "" for outcome in finished]
        table.add_row(f"probe: {name}, {score['unit']} ↓", *cells)
    return table


def difference_table(folder: RunFolder, outcomes: Sequence[Outcome]) -> Table | None:
    """Return paired differences between cells that differ in their losses alone, or ``None``."""
    finished = finished_cells(outcomes)
    groups: dict[tuple[Any, ...], list[Outcome]] = {}
    for outcome in finished:
        cell = outcome.cell
        choice = (cell.encoder, cell.generator, cell.method, repr(cell.method_options), cell.steps, cell.precision)
        key = (*choice, cell.objective, cell.dataset, cell.seed)
        groups.setdefault(key, []).append(outcome)
    pairs = [(group[0], other) for group in groups.values() for other in group[1:]]
    if not pairs:
        return None
    table = Table(title="Paired differences on the same targets", caption="mean [95 % interval]; bold: clear of zero")
    table.title_justify = table.caption_justify = "left"
    table.add_column("metric")
    for reference, other in pairs:
        table.add_column(f"{heading(other, finished)}\nminus {','.join(reference.cell.losses)}", justify="right")
    for name in _metric_names(finished):
        if name.partition(":")[0].endswith(("_floor", "_ceiling")):
            continue
        row = []
        for reference, other in pairs:
            a, b = folder.rows(other.id), folder.rows(reference.id)
            if name not in a or name not in b or a["target"] != b["target"]:
                row.append("")
                continue
            difference = paired_difference(a[name], b[name])
            text = _signed(name, difference)
            row.append(f"[bold]{text}[/bold]" if difference.low > 0 or difference.high < 0 else text)
        table.add_row(_label(name, finished), *row)
    return table


def finished_cells(outcomes: Sequence[Outcome]) -> list[Outcome]:
    """Return the outcomes that have scores."""
    return [outcome for outcome in outcomes if outcome.record["status"] == "ok"]


def titled(title: str) -> Table:
    """Return an empty table with its title and caption on the left."""
    return Table(title=title, title_justify="left", caption_justify="left")


def _title(finished: Sequence[Outcome]) -> str:
    if not finished:
        return "No cell was finished"
    first = finished[0]
    kind = "photographs" if first.record["real"] else "samples of the generator"
    lowered = ", steps in bf16" if all(outcome.cell.precision == "bf16" for outcome in finished) else ""
    return (
        f"{first.cell.encoder} inverted through {first.cell.generator}, {first.record['n']} targets ({kind}){lowered}"
    )


def heading(outcome: Outcome, finished: Sequence[Outcome]) -> str:
    """Name a column by its losses, and by whatever else differs between the columns."""
    parts = [",".join(outcome.cell.losses)]
    for key in ("encoder", "generator", "method", "objective", "dataset", "seed", "precision"):
        values = {getattr(other.cell, key) for other in finished}
        if len(values) > 1:
            parts.append(str(getattr(outcome.cell, key)))
    # A method that takes no steps has no budget to be told by.
    if outcome.cell.steps and len({other.cell.steps for other in finished if other.cell.steps}) > 1:
        parts.append(f"{outcome.cell.steps} steps")
    if len({repr(other.cell.method_options) for other in finished}) > 1:
        parts += [f"{name}={value}" for name, value in outcome.cell.method_options.items()]
    if any(other.cell.loss_weights for other in finished):
        parts += [f"{name}={weight:g}" for name, weight in outcome.cell.loss_weights.items()]
    return "\n".join(parts)


def _metric_names(finished: Sequence[Outcome]) -> list[str]:
    return list(dict.fromkeys(name for outcome in finished for name in outcome.record["metrics"]))


def _label(name: str, finished: Sequence[Outcome]) -> str:
    summary = next(o.record["metrics"][name] for o in finished if name in o.record["metrics"])
    unit = "" if summary["unit"] in ("1", "cosine") else f", {summary['unit']}"
    base = name.partition(":")[0]
    if base.endswith("_floor"):
        return f"  to strangers{unit}"
    if base.endswith("_other"):
        return f"  to other photographs of the person{unit}"
    if base.endswith("_ceiling"):
        return f"  of the expected image{unit}"
    return f"{name}{unit} {'↑' if summary['higher_is_better'] else '↓'}"


def _mean(name: str, summary: dict[str, Any] | None) -> str:
    if summary is None or summary["mean"] is None:
        return "–"
    digits = wording.digits(name)
    if summary["low"] is None:
        return f"{summary['mean']:.{digits}f}"
    return f"{summary['mean']:.{digits}f} [{summary['low']:.{digits}f}, {summary['high']:.{digits}f}]"


def _signed(name: str, value: Estimate) -> str:
    digits = wording.digits(name)
    return f"{value.mean:+.{digits}f} [{value.low:+.{digits}f}, {value.high:+.{digits}f}]"
