"""The methods of one run at equal budgets: scores with intervals, and paired differences to one of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.table import Table

from faceinv.errors import InputError, UsageError, unknown_name
from faceinv.report import provenance, wording
from faceinv.report.runs import EXACT, Column, Runs, Study, steered_by
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
        id: The cell's name, by which its record can be found and its computation repeated.
        method: Its name.
        options: What was chosen for it in place of its defaults, such as ``"starts=1"``.
        losses: The losses that steered it.
        steps: The budget of a target; 0 for a method that takes none.
        access: What of the encoder it may ask for.
        queries: Images that the encoder was shown for a target, at most.
        seconds: Of the inversion, a target.
        n: Targets.
        scores: By column of the rows.
        differences: To the reference at the same budget, by column; empty for itself and where there is none.
        precision: Of the networks in its steps.
    """

    id: str
    method: str
    options: str
    losses: str
    steps: int
    access: str
    queries: int
    seconds: float
    n: int
    scores: dict[str, Estimate]
    differences: dict[str, Estimate]
    precision: str = EXACT

    @property
    def label(self) -> str:
        """The method and its options."""
        return " ".join(filter(None, (self.method, self.options)))


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
        ceiling: PSNR of the images that the descriptors lead one to expect, which is every method's ceiling.
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
    methods = [column.config["method"] for column in columns] + [p.method for board in kept for p in board.places]
    if reference and reference not in methods:
        raise unknown_name("method of this run", reference, list(dict.fromkeys(methods)))
    chosen = reference or ("latent-adam" if "latent-adam" in methods else methods[0])
    own = [(study, [column for column in study.columns if column in columns]) for study in runs.studies]
    return tuple(_board(study, kept, chosen) for study, kept in own if kept)


def _board(study: Study, columns: list[Column], reference: str) -> Board:
    config, record = study.first.config, study.first.record
    return Board(
        encoder=str(config["encoder"]),
        generator=str(config["generator"]),
        critic=study.first.critic,
        kind="photographs" if record.get("real") else "samples of the generator",
        targets=str(record["targets"]),
        n=int(record["n"]),
        ceiling=_ceiling(study),
        warnings=provenance.warnings(study),
        places=_ordered([_place(column, _references(column, columns, reference)) for column in columns]),
    )


def _ordered(places: Sequence[Place]) -> tuple[Place, ...]:
    def rank(place: Place) -> tuple[int, str, float]:
        critic = place.scores.get("id_sim_critic")
        return place.steps, place.losses, -critic.mean if critic else 0.0

    return tuple(sorted(places, key=rank))


def _references(column: Column, columns: list[Column], method: str) -> list[Column]:
    """Return the cells of ``method`` that ``column`` is measured by: as declared and in fp32, if there are such."""
    keys = ("losses", "objective", "steps", "seed")
    same = [other for other in columns if all(other.config[key] == column.config[key] for key in keys)]
    own = [other for other in same if other.config["method"] == method]
    exact = [other for other in own if other.precision == EXACT] or own
    declared = [other for other in exact if not other.config["method_options"]] or exact
    return [other for other in declared if other.id != column.id]


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
        id=column.id,
        method=str(column.config["method"]),
        options=",".join(f"{key}={value}" for key, value in column.config["method_options"].items()),
        losses=column.losses,
        steps=int(column.config["steps"]),
        access=str(record.get("access", "")),
        queries=int(record.get("queries", 0)),
        seconds=float(record["seconds"]["invert"]) / max(1, int(record["n"])),
        n=int(record["n"]),
        scores={name: score for name, score in scores.items() if score.n},
        differences=differences,
        precision=column.precision,
    )


def _floats(column: Column, name: str) -> list[float]:
    return [float("nan") if value is None else float(value) for value in column.rows[name]]


def leaderboard_table(board: Board) -> Table:
    """Return the places for a terminal."""
    title = f"{board.encoder} inverted through {board.generator}, {board.n} {board.kind}, critic {board.critic}"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = (
        "mean [95 % interval]; Δ: paired difference to the reference at the same budget, bold: clear of zero"
    )
    if board.ceiling:
        table.caption += (
            f"\nPSNR of the image that the descriptor leads one to expect: {with_interval(board.ceiling, 2)}"
        )
    further = {
        heading: values
        for heading, values in (
            ("losses", [place.losses for place in board.places]),
            ("steps in", [place.precision for place in board.places]),
        )
        if len(set(values)) > 1
    }
    shown = board.columns
    for heading in ("budget", "method", "access", *further):
        table.add_column(heading, no_wrap=heading == "method")
    for name in shown:
        table.add_column(SCORES[name][0], justify="right")
    for name in COMPARED:
        table.add_column(f"Δ {SCORES[name][0]}", justify="right")
    table.add_column("s a target", justify="right")
    before = None
    for index, place in enumerate(board.places):
        if before is not None and place.steps != before:
            table.add_section()
        before = place.steps
        cells = [
            str(place.queries or "none"),
            place.label,
            place.access,
            *(values[index] for values in further.values()),
        ]
        cells += [with_interval(place.scores.get(name), SCORES[name][1]) for name in shown]
        cells += [_difference(place.differences.get(name), SCORES[name][1]) for name in COMPARED]
        table.add_row(*cells, f"{place.seconds:.2f}")
    return table


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
            return estimate(_floats(column, "psnr_ceiling"))
    return None


def with_interval(value: Estimate | None, digits: int, sign: bool = False) -> str:
    """Return a mean with its interval, or nothing."""
    if value is None:
        return ""
    return f"{wording.number(value.mean, digits, sign=sign)} {wording.interval(vars(value), digits, sign=sign)}"


def _difference(value: Estimate | None, digits: int) -> str:
    clear = value is not None and (value.low > 0 or value.high < 0)
    return (
        f"[bold]{with_interval(value, digits, sign=True)}[/bold]" if clear else with_interval(value, digits, sign=True)
    )


def as_objects(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return the boards for ``--json``: aggregates alone, nothing of a single target."""
    return [asdict(board) for board in boards]


def read_boards(path: Path, losses: str = "") -> tuple[Board, ...]:
    """Read what ``faceinv compare RUN --json`` printed.

    Args:
        path: The file.
        losses: Only places with these losses, if given.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    try:
        boards = [_board_of(board) for board in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"'{path}' holds no leaderboard ({error}). 'faceinv compare RUN --json > FILE' writes one."
        ) from None
    return tuple(
        replace(board, places=tuple(place for place in board.places if steered_by(losses, place.losses)))
        for board in boards
    )


def _board_of(content: dict[str, Any]) -> Board:
    places = [
        Place(**{**place, **{key: _estimates(place[key]) for key in ("scores", "differences")}})
        for place in content["places"]
    ]
    ceiling = Estimate(**content["ceiling"]) if content["ceiling"] else None
    return Board(**{**content, "ceiling": ceiling, "warnings": tuple(content["warnings"]), "places": tuple(places)})


def _estimates(content: dict[str, Any]) -> dict[str, Estimate]:
    return {name: Estimate(**value) for name, value in content.items()}


def joined(boards: Sequence[Board], kept: Sequence[Board]) -> tuple[Board, ...]:
    """Return ``boards`` with the places that ``kept`` ones have and they have not.

    A kept place that a board has anew, of the same method, options, losses, budget and
    precision, is left out.

    Raises:
        UsageError: a kept board is about other targets, encoders or another generator than any of ``boards``.
    """
    of = {_subject(board): board for board in boards}
    for other in kept:
        board = of.get(_subject(other))
        if board is None:
            ours = "; ".join(" / ".join(map(str, subject)) for subject in of)
            raise UsageError(
                f"The kept leaderboard is about {' / '.join(map(str, _subject(other)))} "
                f"(encoder / generator / critic / targets), and the run about {ours}."
            )
        have = {_attempt(place) for place in board.places}
        new = [place for place in other.places if _attempt(place) not in have]
        of[_subject(other)] = replace(
            board, ceiling=board.ceiling or other.ceiling, places=_ordered([*board.places, *new])
        )
    return tuple(of.values())


def _subject(board: Board) -> tuple[str, ...]:
    return board.encoder, board.generator, board.critic, board.targets


def _attempt(place: Place) -> tuple[str, str, str, int, str]:
    return place.method, place.options, place.losses, place.steps, place.precision
