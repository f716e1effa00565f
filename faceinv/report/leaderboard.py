"""The methods of one run at equal budgets: scores with intervals, and paired differences to one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from faceinv.errors import UsageError, unknown_name
from faceinv.report import wording
from faceinv.report.runs import Column, Runs, Study
from faceinv.statistics import Estimate, estimate, paired_difference

#: Column of the rows → heading, and decimals.
SCORES = {
    "id_sim_critic": ("critic cosine ↑", 3),
    "success_type2@0.001:critic": ("type II, FMR 1e-3 ↑", 3),
    "psnr": ("PSNR, dB ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "landmark_error": ("landmarks, % ↓", 2),
    "id_sim_attacked": ("attacked cosine", 3),
}
#: Scores whose difference to the reference is shown.
COMPARED = ("id_sim_critic", "psnr")


@dataclass(frozen=True)
class Place:
    """One method at one budget.

    Args:
        method: Its name.
        losses: The losses that steered it.
        steps: The budget of a target; 0 for a method that takes none.
        access: What of the encoder it may ask for.
        queries: Images that the encoder was shown for a target.
        seconds: Of the inversion, a target.
        n: Targets.
        scores: By column of the rows.
        differences: To the reference at the same budget, by column; empty for itself and where there is none.
    """

    method: str
    losses: str
    steps: int
    access: str
    queries: int
    seconds: float
    n: int
    scores: dict[str, Estimate]
    differences: dict[str, Estimate]


def leaderboard(runs: Runs, losses: str = "", reference: str = "") -> tuple[tuple[Study, tuple[Place, ...]], ...]:
    """Return the places of each study, best critic first within a budget.

    Args:
        runs: What was read.
        losses: Only cells with these losses, if given.
        reference: The method that differences are to; ``latent-adam`` if the run has it, or its first.

    Raises:
        UsageError: the run has no cell with these losses, or no such method.
    """
    columns = [column for column in runs.columns if not losses or column.losses == losses.replace(" ", "")]
    if not columns:
        raise UsageError(f"No finished cell{f' has the losses {losses!r}' if losses else ''}.")
    methods = list(dict.fromkeys(column.config["method"] for column in columns))
    if reference and reference not in methods:
        raise unknown_name("method of this run", reference, methods)
    chosen = reference or ("latent-adam" if "latent-adam" in methods else methods[0])
    found = []
    for study in runs.studies:
        own = [column for column in study.columns if column in columns]
        places = sorted(
            (_place(column, list(_references(column, own, chosen))) for column in own),
            key=lambda place: (
                (place.steps, place.losses, -place.scores["id_sim_critic"].mean)
                if "id_sim_critic" in place.scores
                else (place.steps, place.losses, 0.0)
            ),
        )
        if places:
            found.append((study, tuple(places)))
    return tuple(found)


def _references(column: Column, columns: list[Column], method: str) -> Iterator[Column]:
    config = column.config
    for other in columns:
        same = all(other.config[key] == config[key] for key in ("losses", "objective", "steps", "seed"))
        if same and other.config["method"] == method and other.id != column.id:
            yield other


def _place(column: Column, references: list[Column]) -> Place:
    record = column.record
    scores = {name: estimate(_floats(column, name)) for name in SCORES if name in column.rows}
    differences = {}
    # With several weightings or options of the reference it is not clear which one is meant.
    if len(references) == 1 and references[0].targets == column.targets:
        for name in COMPARED:
            if name in column.rows and name in references[0].rows:
                differences[name] = paired_difference(_floats(column, name), _floats(references[0], name))
    return Place(
        method=str(column.config["method"]),
        losses=column.losses,
        steps=int(column.config["steps"]),
        access=str(record.get("access", "")),
        queries=int(record.get("queries", 0)),
        seconds=float(record["seconds"]["invert"]) / max(1, int(record["n"])),
        n=int(record["n"]),
        scores={name: score for name, score in scores.items() if score.n},
        differences=differences,
    )


def _floats(column: Column, name: str) -> list[float]:
    return [float("nan") if value is None else float(value) for value in column.rows[name]]


def leaderboard_table(study: Study, places: tuple[Place, ...]) -> Table:
    """Return the places for a terminal."""
    config = study.first.config
    title = f"{config['encoder']} inverted through {config['generator']}, {places[0].n} targets, "
    title += f"critic {study.first.critic}"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = (
        "mean [95 % interval]; Δ: paired difference to the reference at the same budget, bold: clear of zero"
    )
    ceiling = ceilings(study)
    if ceiling:
        table.caption += f"\nPSNR of the image that the descriptor leads one to expect: {_text(ceiling, 2)}"
    several = len({place.losses for place in places}) > 1
    shown = [name for name in SCORES if any(name in place.scores for place in places)]
    for heading in ("budget", "method", "access", *(["losses"] if several else [])):
        table.add_column(heading)
    for name in shown:
        table.add_column(SCORES[name][0], justify="right")
    for name in COMPARED:
        table.add_column(f"Δ {SCORES[name][0]}", justify="right")
    table.add_column("s a target", justify="right")
    before = None
    for place in places:
        if before is not None and place.steps != before:
            table.add_section()
        before = place.steps
        cells = [str(place.queries or "none"), place.method, place.access, *([place.losses] if several else [])]
        cells += [_text(place.scores.get(name), SCORES[name][1]) for name in shown]
        cells += [_text(place.differences.get(name), SCORES[name][1], sign=True) for name in COMPARED]
        table.add_row(*cells, f"{place.seconds:.2f}")
    return table


def named(place: Place, places: Sequence[Place]) -> str:
    """Return what a place is called among others: its method, and its losses where there are several."""
    return f"{place.method} {place.losses}" if len({other.losses for other in places}) > 1 else place.method


def ceilings(study: Study) -> Estimate | None:
    """Return the PSNR of the images that the descriptors lead one to expect, which is every method's ceiling."""
    for column in study.columns:
        if "psnr_ceiling" in column.rows:
            return estimate(_floats(column, "psnr_ceiling"))
    return None


def _text(value: Estimate | None, digits: int, sign: bool = False) -> str:
    if value is None:
        return ""
    text = f"{wording.number(value.mean, digits, sign=sign)} {wording.interval(vars(value), digits, sign=sign)}"
    return f"[bold]{text}[/bold]" if sign and (value.low > 0 or value.high < 0) else text


def as_objects(study: Study, places: tuple[Place, ...]) -> list[dict[str, Any]]:
    """Return one object a place, for ``--json``."""
    return [asdict(place) | {"critic": study.first.critic} for place in places]
