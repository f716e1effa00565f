"""A leaderboard for a terminal."""

from __future__ import annotations

from rich.table import Table

from faceinv.report import wording
from faceinv.report.leaderboard import Board
from faceinv.scoring.statistics import Estimate


def leaderboard_table(board: Board) -> Table:
    """Return the places for a terminal."""
    title = f"{board.encoder} inverted through {board.generator}, {board.n} {board.kind}, critic {board.critic}"
    table = Table(title=title, title_justify="left", caption_justify="left")
    table.caption = (
        "mean [95 % interval]; Δ: paired difference to the reference at the same budget, bold: clear of zero"
    )
    if board.ceiling:
        table.caption += (
            "\nPSNR of the image that the descriptor leads one to expect: "
            f"{with_interval(board.ceiling, 2)}; 'over' is a method's PSNR above it, paired"
        )
    table.caption += "".join(f"\nMind: {text}" for text in board.warnings)
    further = {
        heading: values
        for heading, values in (
            ("losses", [place.losses for place in board.places]),
            ("steps in", [place.precision for place in board.places]),
        )
        if len(set(values)) > 1
    }
    # Two to a column: intervals take a second line anyway.
    for heading in ("budget\nspent", "method", "access\noffline", *further):
        table.add_column(heading, no_wrap=heading in ("method", "access\noffline"))
    for figure in board.figures:
        table.add_column(figure.heading, justify="right")
    table.add_column("s a target", justify="right")
    before = None
    for index, place in enumerate(board.places):
        if before is not None and place.steps != before:
            table.add_section()
        before = place.steps
        cells = [
            f"{place.steps:,}\n{place.spent:,.0f}" if place.steps else "none",
            place.label,
            f"{place.access}\n{place.offline}",
            *(values[index] for values in further.values()),
        ]
        cells += [
            (_difference if figure.signed else with_interval)(figure.of(place), figure.digits)
            for figure in board.figures
        ]
        table.add_row(*cells, with_interval(place.seconds, 2))
    return table


def with_interval(value: Estimate | None, digits: int, sign: bool = False) -> str:
    """Return a mean with its interval, or nothing."""
    if value is None:
        return ""
    return f"{wording.number(value.mean, digits, sign=sign)} {wording.interval(value, digits, sign=sign)}"


def _difference(value: Estimate | None, digits: int) -> str:
    clear = value is not None and (value.low > 0 or value.high < 0)
    return (
        f"[bold]{with_interval(value, digits, sign=True)}[/bold]" if clear else with_interval(value, digits, sign=True)
    )
