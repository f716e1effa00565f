"""The leaderboard of a run as a page: curves of score against budget, and a table of all numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from faceinv.report import wording
from faceinv.report.budget_chart import Curve, budget_chart
from faceinv.report.leaderboard import SCORES, Board, named
from faceinv.report.page import package_version, render_template
from faceinv.report.values import computed

#: The cosine of the attacked encoder says how well it was fooled. It is only in the table.
_NOT_DRAWN = ("id_sim_attacked",)

#: Colours in the style sheet: .c0 to .c9.
_STYLES = 10


def render_leaderboards(boards: Sequence[Board]) -> str:
    """Return leaderboards as one self-contained HTML page."""
    return render_template(
        "methods.html.j2",
        script="report.js",
        title="Inversion methods at equal budgets",
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        version=package_version(),
        boards=[_shown(board) for board in boards],
        computed=computed,
    )


def _shown(board: Board) -> dict[str, Any]:
    places = board.places
    names = list(dict.fromkeys(named(place, places) for place in places))
    return {
        "title": f"{board.encoder} through {board.generator}",
        "n": board.n,
        "kind": board.kind,
        "critic": board.critic,
        "warnings": board.warnings,
        "charts": [(SCORES[score][0], chart(score, board)) for score in board.columns if score not in _NOT_DRAWN],
        "figures": board.figures,
        "precisions": len({place.precision for place in places}),
        "rows": [(named(place, places), f"c{names.index(named(place, places)) % _STYLES}", place) for place in places],
        "ceiling": computed(board.ceiling, 2) if board.ceiling else None,
    }


def chart(score: str, board: Board) -> Markup:
    """Return curves of ``score`` against budget as inline SVG, a line per method; PSNR with its ceiling."""
    curves, places = [], board.places
    for index, name in enumerate(dict.fromkeys(named(place, places) for place in places)):
        own = sorted((p for p in places if named(p, places) == name and score in p.scores), key=lambda p: p.steps)
        if own:
            curves.append(Curve(name, [(place.steps, place.scores[score]) for place in own], f"c{index % _STYLES}"))
    if score == "psnr" and board.ceiling:
        curves.append(Curve("expected image", [(0, board.ceiling)], "ceiling"))
    heading, digits = SCORES[score]
    ends = [f"{curve.name} {wording.number(curve.points[-1][1].mean, digits)}" for curve in curves]
    return budget_chart(curves, f"{heading} against budget", f"At the largest budget computed: {', '.join(ends)}.")
