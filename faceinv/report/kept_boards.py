"""Leaderboards kept as JSON: aggregates of earlier runs, to join with a new run on the same targets."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from faceinv.errors import InputError, UsageError
from faceinv.report.leaderboard import Board, Place, leaderboards, ordered
from faceinv.report.runs import read_runs, steered_by
from faceinv.scoring.statistics import Estimate
from faceinv.storage.submissions import FORMAT


def as_objects(boards: Sequence[Board]) -> list[dict[str, Any]]:
    """Return the boards for ``--json``: aggregates only, nothing about single targets."""
    return [asdict(board) for board in boards]


def read_boards(path: Path, losses: str = "") -> tuple[Board, ...]:
    """Read the output of ``faceinv compare RUN --json``, or the boards of a submission.

    Args:
        path: The file.
        losses: Only places with these losses, if given.

    Raises:
        InputError: if the file cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(content, dict) and content.get("format") == FORMAT:
            return leaderboards(read_runs([path]), losses)
        boards = [_board_of(board) for board in content]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"'{path}' is not a leaderboard ({error}). 'faceinv compare RUN --json > FILE' writes one."
        ) from None
    return tuple(
        replace(board, places=tuple(place for place in board.places if steered_by(losses, place.losses)))
        for board in boards
    )


def _board_of(content: dict[str, Any]) -> Board:
    places = [
        Place(
            **{
                **place,
                **{key: _estimates(place[key]) for key in ("scores", "differences")},
                **{key: place[key] and _estimate(place[key]) for key in ("seconds", "above_ceiling")},
            }
        )
        for place in content["places"]
    ]
    ceiling = _estimate(content["ceiling"]) if content["ceiling"] else None
    return Board(**{**content, "ceiling": ceiling, "warnings": tuple(content["warnings"]), "places": tuple(places)})


def _estimates(content: dict[str, Any]) -> dict[str, Estimate]:
    return {name: _estimate(value) for name, value in content.items()}


def _estimate(content: dict[str, Any]) -> Estimate:
    """Return an estimate; JSON has null for an interval that does not exist."""
    ends = {name: math.nan if content[name] is None else float(content[name]) for name in ("mean", "low", "high")}
    return Estimate(**ends, n=int(content["n"]), people=int(content.get("people", 0)))


def joined(boards: Sequence[Board], kept: Sequence[Board]) -> tuple[Board, ...]:
    """Return ``boards`` with the places of ``kept`` boards that they lack.

    A kept place is dropped if the board has the same method, options, losses, budget and precision. Differences to a
    dropped place are dropped too, because their reference is no longer shown.

    Raises:
        UsageError: if a kept board has other targets, encoders or another generator than all of ``boards``.
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
        places = [*board.places, *new]
        there = {place.id for place in places if place.id}
        places = [
            place if place.reference in there else replace(place, differences={}, reference="") for place in places
        ]
        of[_subject(other)] = replace(
            board,
            ceiling=board.ceiling or other.ceiling,
            warnings=tuple(dict.fromkeys((*board.warnings, *other.warnings))),
            places=ordered(places),
        )
    return tuple(of.values())


def _subject(board: Board) -> tuple[str, ...]:
    return board.encoder, board.generator, board.critic, board.targets


def _attempt(place: Place) -> tuple[str, str, str, int, str]:
    return place.method, place.options, place.losses, place.steps, place.precision
