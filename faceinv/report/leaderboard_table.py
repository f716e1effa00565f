"""A leaderboard as a table: a row per method and budget."""

from __future__ import annotations

from faceinv.report.leaderboard import Board, Place, named
from faceinv.report.table import Cell, Line, Table
from faceinv.scoring.statistics import FEW


def leaderboard_table(board: Board) -> Table:
    """Return the methods of a leaderboard, smallest budget first, best critic cosine first within a budget."""
    places = board.places
    several = len({place.precision for place in places}) > 1
    lines = []
    for index, place in enumerate(places):
        cells = [
            Cell(f"{place.spent:,.0f}", value=place.spent),
            Cell(place.access),
            Cell(place.offline),
            *([Cell(place.precision)] if several else []),
            *(Cell.of_estimate(figure.of(place), figure.digits, signed=figure.signed) for figure in board.figures),
            Cell.of_estimate(place.seconds, 2),
        ]
        last = index + 1 < len(places) and places[index + 1].steps != place.steps
        lines.append(Line(_heading(place, board), "", "", tuple(cells), ends_section=last))
    columns = (
        *("spent", "access", "offline"),
        *(["steps in"] if several else []),
        *(figure.heading for figure in board.figures),
        "s per target",
    )
    note = (
        "Mean [95 % interval]. Δ is the paired difference to the reference at the same budget, bold where its interval "
        f"is clear of zero and there are at least {FEW} targets."
    )
    if board.ceiling:
        ceiling = Cell.of_estimate(board.ceiling, 2).whole
        note += f" The expected image has a PSNR of {ceiling} dB; 'over' is a method's PSNR above it, paired."
    title = f"{board.encoder} inverted through {board.generator}, {board.n} {board.kind}, critic {board.critic}"
    return Table("leaderboard", title, note, columns, tuple(lines), board.warnings, "budget, method")


def _heading(place: Place, board: Board) -> str:
    budget = f"{place.steps:,}" if place.steps else "none"
    return f"{budget}, {named(place, board.places)}"
