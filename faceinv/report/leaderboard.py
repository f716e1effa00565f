"""The methods of one run at equal budgets: scores with intervals, and paired differences to one of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from faceinv.errors import UsageError, unknown_name
from faceinv.report import provenance
from faceinv.report.runs import EXACT, Column, Runs, Study, steered_by
from faceinv.scoring.statistics import Estimate, estimate, paired_difference, wilson

#: Column of the rows → heading, and decimals.
SCORES = {
    "id_sim_critic": ("critic cosine ↑", 3),
    "success_type1@0.001:critic": ("type I, FMR 1e-3 ↑", 3),
    "success_type2@0.001:critic": ("type II, FMR 1e-3 ↑", 3),
    "psnr": ("PSNR, dB ↑", 2),
    "ssim": ("SSIM ↑", 3),
    "landmark_error": ("landmarks, % ↓", 2),
    "id_sim_attacked": ("attacked cosine", 3),
}
#: Scores whose difference to the reference is shown.
COMPARED = ("id_sim_critic", "psnr")
#: The false match rate of the thresholds behind the scores of success.
_FMR = 1e-3


@dataclass(frozen=True)
class Place:
    """One method at one budget.

    Args:
        id: The cell's name, by which its record can be found and its computation repeated.
        method: Its name.
        options: What was chosen for it in place of its defaults, such as ``"starts=1"``.
        losses: The losses that steered it.
        steps: The budget of a target; 0 for a method that takes none.
        access: What of the encoder it may ask for when it meets a target.
        offline: What it had of the encoder beforehand.
        queries: Images that the encoder was shown for a target, at most.
        spent: The same on average: less than the budget where targets converged or queries come in whole generations.
        seconds: Of the inversion, a target; the interval is over its batches.
        n: Targets.
        scores: By column of the rows; shares with Wilson's interval, means with a bootstrap's.
        above_ceiling: PSNR minus that of the image which the descriptor leads one to expect, paired.
        differences: To the reference at the same budget, by column; empty for itself and where there is none.
        reference: The cell that they are to.
        precision: Of the networks in its steps.
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

    @property
    def label(self) -> str:
        """The method and its options."""
        return " ".join(filter(None, (self.method, self.options)))


@dataclass(frozen=True)
class Figure:
    """A column of numbers in a leaderboard's table, wherever it is shown.

    Args:
        heading: What stands above it.
        digits: Decimals.
        of: A place's number, if it has one.
        signed: Whether it is a difference.
    """

    heading: str
    digits: int
    of: Callable[[Place], Estimate | None]
    signed: bool = False


@dataclass(frozen=True)
class Board:
    """The methods that inverted the same targets.

    Args:
        encoder: The attacked one.
        generator: The face prior.
        critic: The encoder that judges identity.
        kind: What the targets are: ``"photographs"`` or ``"samples of the generator"``.
        targets: Their digest, as records have it.
        n: Their number.
        ceiling: PSNR of the images that the descriptors lead one to expect, by a linear map of descriptors to pixels.
        warnings: What has to be said wherever the numbers are shown.
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
        """The scores that any place has."""
        return [name for name in SCORES if any(name in place.scores for place in self.places)]

    @property
    def figures(self) -> list[Figure]:
        """The scores, PSNR over its ceiling beside PSNR, and the differences to the reference."""
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
        runs: What was read.
        losses: Only cells with these losses, if given.
        reference: The method that differences are to; ``latent-adam`` if there is one, or the run's first.
        kept: Boards that will be joined: their differences are to the same method, which the run may lack.

    Raises:
        UsageError: the run has no cell with these losses, or no such method.
    """
    columns = [column for column in runs.columns if steered_by(losses, column.losses)]
    if not columns:
        raise UsageError(f"No finished cell{f' has the losses {losses!r}' if losses else ''}.")
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
    """Yield what has to be known about the critic's threshold, once."""
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
    """Return places, smallest budget first, best critic first within a budget."""

    def rank(place: Place) -> tuple[int, str, float]:
        critic = place.scores.get("id_sim_critic")
        return place.steps, place.losses, -critic.mean if critic else 0.0

    return tuple(sorted(places, key=rank))


def _references(column: Column, columns: list[Column], method: str) -> list[Column]:
    """Return the cells of ``method`` that ``column`` is measured by: as declared and in fp32, if there are such."""
    keys = ("losses", "objective", "steps", "seed")
    same = [
        other for other in columns if all(getattr(other.config, key) == getattr(column.config, key) for key in keys)
    ]
    own = [other for other in same if other.config.method == method]
    exact = [other for other in own if other.precision == EXACT] or own
    declared = [other for other in exact if not other.config.method_options] or exact
    return [other for other in declared if other.id != column.id]


def _place(column: Column, references: list[Column]) -> Place:
    record = column.record
    scores = {name: _score(name, column.floats(name)) for name in SCORES if name in column.rows}
    differences, reference = {}, ""
    # With several weightings or options of the reference it is not clear which one is meant.
    if len(references) == 1 and references[0].targets == column.targets:
        reference = references[0].id
        for name in COMPARED:
            if name in column.rows and name in references[0].rows:
                differences[name] = paired_difference(column.floats(name), references[0].floats(name))
    bounded = "psnr" in column.rows and "psnr_ceiling" in column.rows
    return Place(
        id=column.id,
        method=column.config.method,
        options=",".join(f"{key}={value}" for key, value in column.config.method_options.items()),
        losses=column.losses,
        steps=column.config.steps,
        access=record.access,
        offline=record.offline,
        queries=record.queries or 0,
        spent=float(record.queries or 0) if record.queries_mean is None else record.queries_mean,
        seconds=_seconds(column),
        n=record.n,
        scores={name: score for name, score in scores.items() if score.n},
        above_ceiling=paired_difference(column.floats("psnr"), column.floats("psnr_ceiling")) if bounded else None,
        differences=differences,
        reference=reference,
        precision=column.precision,
    )


def _score(name: str, values: Sequence[float]) -> Estimate:
    if not name.startswith("success"):
        return estimate(values)
    known = [value for value in values if not math.isnan(value)]
    return wilson(round(sum(known)), len(known))


def _seconds(column: Column) -> Estimate:
    """Return the seconds of a target: of each batch where the record has them, else of all."""
    seconds = column.record.seconds
    whole = [] if seconds.invert is None else [seconds.invert / column.record.n]
    return estimate(seconds.a_target or whole)


def named(place: Place, places: Sequence[Place]) -> str:
    """Return what a place is called among others: its method and options, and its losses where there are several.

    Its precision, too, where the same was done in another one as well.
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
            return estimate(column.floats("psnr_ceiling"))
    return None
