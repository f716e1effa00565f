"""What does an attacker need? Type II success against each kind of leak, in one chart."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape

from faceinv.report.charts import Axis, svg
from faceinv.report.leaks import Point, points, rate
from faceinv.report.runs import Study

_WIDTH, _STEP, _HEAD, _NAMES = 640.0, 21.0, 30.0, 270.0
_ENCODERS = (("critic", "c0", -3.5), ("attacked", "c1", 3.5))


def leak_chart(study: Study) -> Markup | None:
    """Return a row for each leak of a study, with a point and its interval by critic and by the leaked encoder."""
    found = points(study)
    if not found:
        return None
    kinds = list(dict.fromkeys(point.kind for point in found))
    height = _HEAD + _STEP * (len(found) + len(kinds)) + 44
    base, x = height - 38, Axis(0, 100, _NAMES, _WIDTH - 16)
    parts = [_legend(study), _foot(x, base, f"accepted against another photograph at FMR {rate(study)}, %")]
    top = _HEAD
    for kind in kinds:
        parts.append(f'<text class="quiet" x="0" y="{top + 14:g}">{escape(kind)}</text>')
        top += _STEP
        for point in (point for point in found if point.kind == kind):
            parts.append(_row(point, x, top + _STEP / 2))
            top += _STEP
    return svg(_WIDTH, height, "What does an attacker need?", _described(found), parts)


def _row(point: Point, x: Axis, middle: float) -> str:
    parts = [f'<text class="tick" x="12" y="{middle + 4:g}">{escape(point.name)}</text>']
    for role, style, shift in _ENCODERS:
        share = getattr(point, role)
        if share is None:
            continue
        (at, low, high), y = map(x.at, share), middle + shift
        parts.append(f'<line class="bar {style}" x1="{low}" x2="{high}" y1="{y:g}" y2="{y:g}"/>')
        parts.append(f'<circle class="end {style}" cx="{at}" cy="{y:g}" r="3.5"/>')
    return "".join(parts)


def _foot(x: Axis, base: float, title: str) -> str:
    ticks = "".join(
        f'<line class="grid" x1="{x.at(tick)}" x2="{x.at(tick)}" y1="{_HEAD:g}" y2="{base:g}"/>'
        f'<text class="tick" x="{x.at(tick)}" y="{base + 15:g}" text-anchor="middle">{tick:g}</text>'
        for tick in x.ticks()
    )
    middle = (x.start + x.end) / 2
    return f'{ticks}<text class="tick" x="{middle:g}" y="{base + 31:g}" text-anchor="middle">{escape(title)}</text>'


def _legend(study: Study) -> str:
    names = (study.first.critic, f"{study.first.config.encoder}, which leaked")
    places = (_NAMES, _NAMES + 150)
    return "".join(
        f'<circle class="end {style}" cx="{left:g}" cy="12" r="3.5"/>'
        f'<text class="tick" x="{left + 9:g}" y="16">{escape(name)}</text>'
        for (_, style, _), name, left in zip(_ENCODERS, names, places, strict=True)
    )


def _described(found: Sequence[Point]) -> str:
    shares = [f"{point.name}: {point.critic[0]:.0f} %" for point in found if point.critic]
    return f"Accepted by the critic: {'; '.join(shares)}"
