"""The methods of one run at equal budgets: scores with intervals, and paired differences to one method."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from faceinv.errors import UsageError, unknown_name
from faceinv.plugins.bundled import bundled
from faceinv.report import provenance
from faceinv.report.leaks import leak_of
from faceinv.report.protections import heading
from faceinv.report.runs import EXACT, Column, Runs, Study, steered_by
from faceinv.scoring.statistics import Estimate, estimate, paired_difference, wilson

#: Column of the rows: heading and decimals.
SCORES = {
    "id_sim_critic": ("critic cosine ↑", 3),
    "success_type1@0.001:critic": ("type I, FMR 1e-3 ↑", 3),
    "success_type2@0.001:critic": ("type II, FMR 1e-3 ↑", 3),
    "psnr": ("PSNR, dB ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "landmark_error": ("landmarks, % ↓", 2),
    "id_sim_attacked": ("attacked cosine", 3),
}
#: Scores for which the difference to the reference is shown.
COMPARED = ("id_sim_critic", "psnr")
#: False match rate of the success scores.
_FMR = 1e-3


@dataclass(frozen=True)
class Place:
    """One method at one budget.

    Args:
        id: Id of the cell, and of its record.
        method: Name of the method.
        options: Options that differ from the defaults, such as ``"starts=1"``.
        losses: Losses of the objective.
        steps: Budget per target; 0 for a method without one.
        access: What the method may ask of the encoder during the attack.
        offline: What the method had of the encoder before any target.
        queries: Images shown to the encoder per target, at most.
        spent: The same on average: below the budget if targets converged or queries come in whole generations.
        seconds: Seconds of the inversion per target; the interval is over batches.
        n: Number of targets.
        scores: Scores by column of the rows; shares with Wilson intervals, means with bootstrap intervals.
        above_ceiling: PSNR minus that of the expected image given the descriptor, paired.
        differences: Differences to the reference at the same budget, by column; empty for the reference itself.
        reference: Id of the reference cell.
        precision: Precision of the networks in a step.
        plugin: Distribution and version of a method that faceinv does not contain.
    """

    id: str
    method: str
    options: str
    losses: str
    steps: int
    access: str
    offline: str
    queries: int
    spent: float
    seconds: Estimate
    n: int
    scores: dict[str, Estimate]
    above_ceiling: Estimate | None
    differences: dict[str, Estimate]
    reference: str = ""
    precision: str = EXACT
    plugin: str = ""

    @property
    def label(self) -> str:
        """The method, its options, and the plugin that it comes from if that is not faceinv's own."""
        return " ".join(filter(None, (self.method, self.options, f"({self.plugin})" if self.plugin else "")))


@dataclass(frozen=True)
class Figure:
    """A column of numbers in the table of a leaderboard, on page, terminal and documentation alike.

    Args:
        heading: Its heading.
        digits: Decimals.
        of: Returns the number of a place, if it has one.
        signed: Whether it is a difference.
    """

    heading: str
    digits: int
    of: Callable[[Place], Estimate | None]
    signed: bool = False


@dataclass(frozen=True)
class Board:
    """Methods that inverted the same targets.

    Args:
        encoder: Attacked encoder.
        generator: Face generator.
        critic: Encoder that judges identity.
        kind: Kind of the targets: ``"photographs"`` or ``"samples of the generator"``.
        targets: Hash of the targets, as in the records.
        n: Number of targets.
        ceiling: PSNR of the expected images, by a linear map from descriptors to pixels.
        warnings: Caveats to show wherever the numbers are shown.
        places: Smallest budget first, best critic first within a budget.
    """

    encoder: str
    generator: str
    critic: str
    kind: str
    targets: str
    n: int
    ceiling: Estimate | None
    warnings: tuple[str, ...]
    places: tuple[Place, ...]

    @property
    def columns(self) -> list[str]:
        """The scores of any place."""
        return [name for name in SCORES if any(name in place.scores for place in self.places)]

    @property
    def figures(self) -> list[Figure]:
        """The scores, the PSNR above its ceiling, and the differences to the reference."""
        found = []
        for name in self.columns:
            found.append(Figure(*SCORES[name], partial(_scored, name)))
            if name == "psnr" and self.ceiling:
                found.append(Figure("over", SCORES[name][1], lambda place: place.above_ceiling, signed=True))
        for name in COMPARED:
            heading, digits = SCORES[name]
            found.append(Figure(f"Δ {heading}", digits, partial(_ahead, name), signed=True))
        return found


def _scored(name: str, place: Place) -> Estimate | None:
    return place.scores.get(name)


def _ahead(name: str, place: Place) -> Estimate | None:
    return place.differences.get(name)


def leaderboards(runs: Runs, losses: str = "", reference: str = "", kept: Sequence[Board] = ()) -> tuple[Board, ...]:
    """Return a board for each set of targets.

    Args:
        runs: The runs.
        losses: Only use cells with these losses, if given.
        reference: Reference method of the differences; by default ``latent-adam``, or the first method of the run.
        kept: Boards that will be joined; their reference may be missing in the run.

    Raises:
        UsageError: if the run has no cell with these losses, or no such method.
    """
    columns = [column for column in runs.cells if steered_by(losses, column.losses)]
    if not columns:
        raise UsageError(f"No finished cell of 'faceinv bench'{f' has the losses {losses!r}' if losses else ''}.")
    methods = [column.config.method for column in columns] + [p.method for board in kept for p in board.places]
    if reference and reference not in methods:
        raise unknown_name("method of this run", reference, list(dict.fromkeys(methods)))
    chosen = reference or ("latent-adam" if "latent-adam" in methods else methods[0])
    own = [(study, [column for column in study.columns if column in columns]) for study in runs.studies]
    return tuple(_board(study, kept, chosen) for study, kept in own if kept)


def _board(study: Study, columns: list[Column], reference: str) -> Board:
    config, record = study.first.config, study.first.record
    return Board(
        encoder=config.encoder,
        generator=config.generator,
        critic=study.first.critic,
        kind="photographs" if record.real else "samples of the generator",
        targets=record.targets,
        n=record.n,
        ceiling=_ceiling(study),
        warnings=(*provenance.warnings(study), *_few_false_matches(columns)),
        places=ordered([_place(column, _references(column, columns, reference)) for column in columns]),
    )


def _few_false_matches(columns: Sequence[Column]) -> Iterator[str]:
    """Yield the caveat about the threshold of the critic, if there is one."""
    thresholds = (
        threshold
        for column in columns
        if "critic" in column.record.recognition
        for threshold in column.record.recognition["critic"].thresholds
    )
    for threshold in thresholds:
        if math.isclose(threshold.fmr, _FMR) and threshold.note:
            yield f"The critic's threshold at FMR 1e-3 {threshold.note}."
            return


def ordered(places: Sequence[Place]) -> tuple[Place, ...]:
    """Return places, smallest budget first, best critic cosine first within a budget."""

    def rank(place: Place) -> tuple[int, str, float]:
        critic = place.scores.get("id_sim_critic")
        return place.steps, place.losses, -critic.mean if critic else 0.0

    return tuple(sorted(places, key=rank))


def _references(column: Column, columns: list[Column], method: str) -> list[Column]:
    """Return the cells of ``method`` to compare ``column`` with: with default options and in fp32, if there are any."""
    keys = (
        *("losses", "objective", "steps", "seed", "leak", "knowledge", "surrogate", "leaked_per_person", "fusion"),
        *("protection", "protection_options", "threat", "issued"),
    )
    same = [
        other for other in columns if all(getattr(other.config, key) == getattr(column.config, key) for key in keys)
    ]
    own = [other for other in same if other.config.method == method]
    exact = [other for other in own if other.precision == EXACT] or own
    declared = [other for other in exact if not other.config.method_options] or exact
    return [other for other in declared if other.id != column.id]


def _place(column: Column, references: list[Column]) -> Place:
    record = column.record
    scores = {name: _score(name, column) for name in SCORES if name in column.rows}
    differences, reference = {}, ""
    # With several weightings or options of the reference it is ambiguous which one is meant.
    if len(references) == 1 and references[0].targets == column.targets:
        reference = references[0].id
        for name in COMPARED:
            if name in column.rows and name in references[0].rows:
                differences[name] = paired_difference(
                    column.floats(name), references[0].floats(name), people=column.people
                )
    bounded = "psnr" in column.rows and "psnr_ceiling" in column.rows
    return Place(
        id=column.id,
        method=column.config.method,
        options=",".join(
            [f"{key}={value}" for key, value in column.config.method_options.items()]
            + ([leak_of(column)] if record.leak else [])
            + ([heading(column)] if record.protection else [])
        ),
        losses=column.losses,
        steps=column.config.steps,
        access=record.access,
        offline=record.offline,
        queries=record.queries or 0,
        spent=float(record.queries or 0) if record.queries_mean is None else record.queries_mean,
        seconds=_seconds(column),
        n=record.n,
        scores={name: score for name, score in scores.items() if score.n},
        above_ceiling=paired_difference(column.floats("psnr"), column.floats("psnr_ceiling"), people=column.people)
        if bounded
        else None,
        differences=differences,
        reference=reference,
        precision=column.precision,
        plugin=_foreign(record.plugins.get(f"method {column.config.method}", "")),
    )


def _foreign(owner: str) -> str:
    """Return the distribution and version of a plugin, or nothing for one of faceinv's own."""
    return owner if owner and owner.split()[0] not in bundled() else ""


def _score(name: str, column: Column) -> Estimate:
    values = column.floats(name)
    if not name.startswith("success"):
        return estimate(values, people=column.people)
    known = [value for value in values if not math.isnan(value)]
    return wilson(round(sum(known)), len(known))


def _seconds(column: Column) -> Estimate:
    """Return the seconds per target, by batch if the record has them."""
    seconds = column.record.seconds
    whole = [] if seconds.invert is None else [seconds.invert / column.record.n]
    return estimate(seconds.a_target or whole)


def named(place: Place, places: Sequence[Place]) -> str:
    """Return the name of a place among others: method and options, and the losses if there are several.

    The precision is named if the same was computed in another one as well.
    """
    losses = place.losses if len({other.losses for other in places}) > 1 else ""
    same = [
        other
        for other in places
        if (other.label, other.losses, other.steps) == (place.label, place.losses, place.steps)
    ]
    lowered = place.precision if place.precision != EXACT and len({other.precision for other in same}) > 1 else ""
    return " ".join(filter(None, (place.label, losses, lowered)))


def _ceiling(study: Study) -> Estimate | None:
    for column in study.columns:
        if "psnr_ceiling" in column.rows:
            return estimate(column.floats("psnr_ceiling"), people=column.people)
    return None
