"""Scores against budgets as inline SVG: a line per method, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from faceinv.report.charts import Axis, horizontal, path, svg
from faceinv.scoring.statistics import Estimate

_WIDTH, _HEIGHT = 560.0, 340.0
#: Room for names at the right, and the smallest distance between two of them.
_NAMES, _APART = 132.0, 14.0


@dataclass(frozen=True)
class Curve:
    """One method's score at each of its budgets.

    Args:
        name: Written at the end of the line.
        points: Budget and score. A method without a budget has a single point, at budget 0.
        style: A class of the style sheet.
    """

    name: str
    points: Sequence[tuple[int, Estimate]]
    style: str

    @property
    def constant(self) -> bool:
        """Whether the method has no budget, and is drawn as a line across."""
        return all(budget == 0 for budget, _ in self.points)


def budget_chart(curves: Sequence[Curve], title: str, description: str) -> Markup:
    """Return scores over budgets on a logarithmic axis, with 95 % intervals as bars and names at the ends.

    Args:
        curves: At least one, each with at least one point.
        title: Accessible name.
        description: Accessible description.
    """
    budgets = sorted({budget for curve in curves for budget, _ in curve.points if budget})
    ends = [value for curve in curves for _, score in curve.points for value in (score.mean, *_bounds(score))]
    margin = 0.04 * (max(ends) - min(ends)) or 0.1 * abs(max(ends)) or 1.0
    base, right = _HEIGHT - 34, _WIDTH - _NAMES
    y = Axis(min(ends) - margin, max(ends) + margin, base, 10)
    low, high = (budgets[0], budgets[-1]) if budgets else (1, 10)
    # A single budget is drawn in the middle.
    x = Axis(low, high, 60, right - 14, True) if high > low else Axis(low / 2, high * 2, 60, right - 14, True)
    parts = [horizontal(y, 44, right), f'<line class="axis" x1="44" x2="{right:g}" y1="{base:g}" y2="{base:g}"/>']
    parts += [
        f'<text class="tick" x="{x.at(budget)}" y="{base + 15:g}" text-anchor="middle">{budget:,}</text>'
        for budget in budgets
    ]
    parts.append(
        f'<text class="tick" x="{(44 + right) / 2:g}" y="{base + 30:g}" text-anchor="middle">'
        "image-steps or queries per target</text>"
    )
    for place, curve in enumerate(curves):
        parts.append(_drawn(curve, x, y, (place - (len(curves) - 1) / 2) * 2.5, right))
    heights = _spread([y.at(curve.points[-1][1].mean) for curve in curves], 16, base)
    parts += [
        f'<text class="name {curve.style}" x="{right + 6:g}" y="{height + 4:.1f}">{escape(curve.name)}</text>'
        for curve, height in zip(curves, heights, strict=True)
    ]
    return svg(_WIDTH, _HEIGHT, title, description, parts)


def _drawn(curve: Curve, x: Axis, y: Axis, shift: float, right: float) -> str:
    """Draw a line, its points and their intervals, shifted a little so that intervals do not hide each other."""
    if curve.constant:
        height = y.at(curve.points[-1][1].mean)
        return f'<path class="line across {curve.style}" d="M44,{height}L{right:g},{height}"/>'
    places = [(x.at(budget) + shift, score) for budget, score in curve.points if budget]
    parts = [f'<path class="line {curve.style}" d="{path([(at, y.at(score.mean)) for at, score in places])}"/>']
    for at, score in places:
        low, high = _bounds(score)
        parts.append(
            f'<line class="bar {curve.style}" x1="{at:.1f}" x2="{at:.1f}" y1="{y.at(low)}" y2="{y.at(high)}"/>'
            f'<circle class="end {curve.style}" cx="{at:.1f}" cy="{y.at(score.mean)}" r="3.2"/>'
        )
    return "".join(parts)


def _bounds(score: Estimate) -> tuple[float, float]:
    """Return the interval, or the value itself if there is only one target."""
    return (score.low, score.high) if score.low == score.low else (score.mean, score.mean)


def _spread(heights: Sequence[float], top: float, bottom: float) -> list[float]:
    """Move overlapping names apart, keeping their order and staying between ``top`` and ``bottom``."""
    order = sorted(range(len(heights)), key=heights.__getitem__)
    placed = list(heights)
    before = top - _APART
    for index in order:
        placed[index] = before = max(placed[index], before + _APART)
    after = bottom + _APART
    for index in reversed(order):
        placed[index] = after = min(placed[index], after - _APART)
    return placed
