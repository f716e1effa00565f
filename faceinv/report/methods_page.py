"""The leaderboard of a run as a page: scores against budgets as curves, and every number in a table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from markupsafe import Markup

from faceinv.records import write_atomically
from faceinv.report import provenance, wording
from faceinv.report.budget_chart import Curve, budget_chart
from faceinv.report.leaderboard import COMPARED, SCORES, Place, ceilings, named
from faceinv.report.page import package_version, render_template
from faceinv.report.runs import Study
from faceinv.report.values import computed

#: The attacked encoder's own cosine says how well it was fooled, and has its place in the table alone.
_DRAWN = tuple(name for name in SCORES if name != "id_sim_attacked")


def write_leaderboard(boards: Sequence[tuple[Study, tuple[Place, ...]]], path: Path) -> Path:
    """Write leaderboards as one self-contained HTML page, whole or not at all.

    Raises:
        StorageError: the file cannot be written.
    """
    page = render_template(
        "methods.html.j2",
        script="report.js",
        title="Inversion methods at equal budgets",
        made=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        version=package_version(),
        boards=[_board(study, places) for study, places in boards],
        scores=SCORES,
        compared=COMPARED,
        computed=computed,
    )
    write_atomically(path, page.encode())
    return path


def _board(study: Study, places: Sequence[Place]) -> dict[str, Any]:
    config, ceiling = study.first.config, ceilings(study)
    names = list(dict.fromkeys(named(place, places) for place in places))
    return {
        "title": f"{config['encoder']} through {config['generator']}",
        "n": places[0].n,
        "kind": "photographs" if study.first.record.get("real") else "samples of the generator",
        "critic": study.first.critic,
        "warnings": provenance.warnings(study),
        "charts": [(SCORES[score][0], _chart(score, names, places)) for score in _drawn(places)],
        "columns": [name for name in SCORES if any(name in place.scores for place in places)],
        "rows": [(named(place, places), f"c{names.index(named(place, places)) % 8}", place) for place in places],
        "ceiling": computed(ceiling, 2) if ceiling else None,
    }


def _drawn(places: Sequence[Place]) -> list[str]:
    return [score for score in _DRAWN if any(score in place.scores for place in places)]


def _chart(score: str, names: Sequence[str], places: Sequence[Place]) -> Markup:
    curves = []
    for index, name in enumerate(names):
        own = sorted((p for p in places if named(p, places) == name and score in p.scores), key=lambda p: p.steps)
        if own:
            curves.append(Curve(name, [(place.steps, place.scores[score]) for place in own], f"c{index % 8}"))
    heading, digits = SCORES[score]
    ends = [f"{curve.name} {wording.number(curve.points[-1][1].mean, digits)}" for curve in curves]
    return budget_chart(curves, f"{heading} against budget", f"At the largest budget: {', '.join(ends)}.")
