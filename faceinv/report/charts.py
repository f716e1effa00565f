"""Line, density and forest plots as inline SVG.

Drawn here rather than by a plotting library: the page's style sheet colours them, so they follow light and dark mode,
their text is text, and a chart takes three kilobytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

_WIDTH = 640.0


@dataclass(frozen=True)
class Axis:
    """A range of values and the coordinates that it is drawn at.

    Args:
        low: Value at ``start``.
        high: Value at ``end``.
        start: Coordinate of ``low``.
        end: Coordinate of ``high``.
        logarithmic: Whether equal ratios have equal distances.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def at(self, value: float) -> float:
        """Return the coordinate of ``value``."""
        low, high, value = (
            (math.log10(self.low), math.log10(self.high), math.log10(max(value, 1e-12)))
            if self.logarithmic
            else (self.low, self.high, value)
        )
        share = (value - low) / (high - low) if high > low else 0.5
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int = 5) -> list[float]:
        """Return about ``about`` round values within the range, or powers of ten on a logarithmic axis."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
            if last - first >= 1:
                step = max(1, (last - first) // about)
                return [10.0**power for power in range(first, last + 1, step)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        raw = span / about
        magnitude = 10 ** math.floor(math.log10(raw))
        step = min((magnitude * factor for factor in (1, 2, 5, 10)), key=lambda step: abs(math.log(step / raw)))
        first_tick = math.ceil(self.low / step - 1e-9)
        return [round(k * step, 10) for k in range(first_tick, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Series:
    """Values to draw.

    Args:
        name: Name in the legend.
        values: One per step, or one per item.
        style: A class of the style sheet.
    """

    name: str
    values: Sequence[float]
    style: str


@dataclass(frozen=True)
class Mark:
    """A highlighted value on the horizontal axis.

    Args:
        value: Its position.
        text: Its label.
        style: A class of the style sheet.
        group: Value of the page's control that shows it, if there is one.
    """

    value: float
    text: str
    style: str = "mark"
    group: str = ""


def curves(series: Sequence[Series], title: str, description: str) -> Markup:
    """Return lines over steps 1, 2, …, on a logarithmic axis if the values span more than a decade."""
    width, height = 440.0, 230.0
    values = [value for line in series for value in line.values if math.isfinite(value)]
    steps = max(len(line.values) for line in series)
    low, high = min(values), max(values)
    logarithmic = low > 0 and high / low > 10
    margin = 0.0 if logarithmic else (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    x = Axis(1, max(steps, 2), 46, width - 10)
    y = Axis(low - margin, high + margin, height - 30, 10, logarithmic)
    parts = [horizontal(y, x.start, x.end), _foot(x, height - 30, "step", whole=True)]
    for line in series:
        points = [(x.at(step), y.at(value)) for step, value in enumerate(line.values, 1) if math.isfinite(value)]
        parts.append(f'<path class="line {line.style}" d="{path(points)}"/>')
        if points:
            parts.append(f'<circle class="end {line.style}" cx="{points[-1][0]}" cy="{points[-1][1]}" r="3"/>')
    return svg(width, height, title, description, parts)


@dataclass(frozen=True)
class Counted:
    """A distribution as counts in equal bins.

    Args:
        name: Name in the legend.
        counts: One per bin.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
        style: A class of the style sheet.
    """

    name: str
    counts: Sequence[int]
    low: float
    high: float
    style: str

    def density(self, merged: int) -> list[tuple[float, float, float]]:
        """Return (left, right, density) of each bar of ``merged`` bins."""
        total, width = sum(self.counts), (self.high - self.low) / len(self.counts)
        bars = []
        for first in range(0, len(self.counts), merged):
            part = self.counts[first : first + merged]
            left, right = self.low + first * width, self.low + (first + len(part)) * width
            bars.append((left, right, sum(part) / (total * len(part) * width) if total else 0.0))
        return bars


def densities(
    series: Sequence[Counted],
    above: Sequence[Mark],
    below: Sequence[Mark],
    axis_title: str,
    title: str,
    description: str,
    *,
    width: float = _WIDTH,
) -> Markup:
    """Return filled distributions, each with area 1, over one axis.

    Args:
        series: The distributions; the last one is on top.
        above: Values from other sources, flagged above the plot.
        below: Thresholds, flagged below these; one is shown at a time.
        axis_title: Title of the axis.
        title: Accessible name.
        description: Accessible description.
        width: Width of the drawing. Text keeps its size, so small charts need a small width.
    """
    fewest = min((sum(one.counts) for one in series), default=0)
    merged = 1 if fewest >= 2000 else 2 if fewest >= 200 else 4
    bars = [(one, _without_empty_ends(one.density(merged))) for one in series]
    used = [edge for _, found in bars for left, right, _ in found for edge in (left, right)]
    used += [mark.value for mark in (*above, *below)]
    low, high = math.floor(min([*used, 0.0]) * 10 + 1e-6) / 10, math.ceil(max([*used, 1.0]) * 10 - 1e-6) / 10
    row, plot = 18, width / 3
    head = 10 + row * (len(above) + bool(below))
    base = head + plot
    x = Axis(low, high, 10, width - 10)
    peak = max((value for _, found in bars for _, _, value in found), default=0.0) or 1.0
    y = Axis(0, peak * 1.05, base, head)
    parts = [_foot(x, base, axis_title)]
    for one, found in bars:
        points = [(x.at(edge), y.at(value)) for left, right, value in found for edge in (left, right)]
        if points:
            outline = [(points[0][0], base), *points, (points[-1][0], base)]
            parts.append(f'<path class="area {one.style}" d="{path(outline)}"/>')
    for index, mark in enumerate(sorted(above, key=lambda mark: mark.value)):
        parts.append(_flag(mark, x.at(mark.value), 16.0 + row * index, base, width))
    parts += [_flag(mark, x.at(mark.value), 16.0 + row * len(above), base, width) for mark in below]
    return svg(width, base + 36, title, description, parts)


def _without_empty_ends(bars: list[tuple[float, float, float]]) -> list[tuple[float, float, float]]:
    filled = [index for index, (_, _, value) in enumerate(bars) if value > 0]
    return bars[filled[0] : filled[-1] + 1] if filled else []


def _flag(mark: Mark, where: float, top: float, base: float, width: float) -> str:
    anchor, shift = ("end", -6) if where > width * 0.6 else ("start", 6)
    shown_by = f' data-fmr="{escape(mark.group)}"' if mark.group else ""
    return (
        f'<g class="{mark.style}"{shown_by}><line x1="{where}" x2="{where}" y1="{top - 9:g}" y2="{base:g}"/>'
        f'<text x="{where + shift}" y="{top:g}" text-anchor="{anchor}">{escape(mark.text)}</text></g>'
    )


@dataclass(frozen=True)
class Difference:
    """A row of a forest plot.

    Args:
        name: Name of the score.
        mean: Difference, in standard deviations, so that rows share an axis.
        low: Lower end of the interval.
        high: Upper end.
        style: A verdict, such as ``"better"``.
        text: The difference in the unit of the metric.
    """

    name: str
    mean: float
    low: float
    high: float
    style: str
    text: str


def forest(rows: Sequence[Difference], axis_title: str, title: str, description: str) -> Markup:
    """Return a row per difference, each a point with its interval, around zero."""
    step, head = 34.0, 8.0
    height = head + step * len(rows) + 40
    reach = max([abs(value) for row in rows for value in (row.low, row.high)] or [1.0]) * 1.08 or 1.0
    # Room for the longest name, at about six units per letter.
    x = Axis(-reach, reach, min(330, max(160, 6 * max((len(row.name) for row in rows), default=0))) + 12, _WIDTH - 16)
    base = height - 36
    parts = [_foot(x, base, axis_title), f'<line class="zero" x1="{x.at(0)}" x2="{x.at(0)}" y1="{head}" y2="{base}"/>']
    for index, row in enumerate(rows):
        middle = head + step * (index + 0.5)
        parts.append(
            f'<g class="forest {row.style}"><text x="0" y="{middle - 2}">{escape(row.name)}</text>'
            f'<text class="quiet" x="0" y="{middle + 12}">{escape(row.text)}</text>'
            f'<line x1="{x.at(row.low)}" x2="{x.at(row.high)}" y1="{middle}" y2="{middle}"/>'
            f'<circle cx="{x.at(row.mean)}" cy="{middle}" r="5"/></g>'
        )
    return svg(_WIDTH, height, title, description, parts)


def path(points: Sequence[tuple[float, float]]) -> str:
    """Return the path of a line through points."""
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points) if points else ""


def horizontal(y: Axis, left: float, right: float) -> str:
    """Return a grid line for each round value, labelled at its left."""
    return "".join(
        f'<line class="grid" x1="{left:g}" x2="{right:g}" y1="{y.at(tick)}" y2="{y.at(tick)}"/>'
        f'<text class="tick" x="{left - 6:g}" y="{y.at(tick) + 3.5:g}" text-anchor="end">{tick:g}</text>'
        for tick in y.ticks(4)
    )


def _foot(x: Axis, base: float, title: str, whole: bool = False) -> str:
    ticks = [tick for tick in x.ticks(6) if not whole or tick == int(tick)]
    labels = "".join(
        f'<text class="tick" x="{x.at(tick)}" y="{base + 15:g}" text-anchor="middle">{_minus(tick)}</text>'
        for tick in ticks
    )
    return (
        f'<line class="axis" x1="{x.start:g}" x2="{x.end:g}" y1="{base:g}" y2="{base:g}"/>{labels}'
        f'<text class="tick" x="{(x.start + x.end) / 2:g}" y="{base + 29:g}" text-anchor="middle">'
        f"{escape(title)}</text>"
    )


def _minus(value: float) -> str:
    return f"{value:g}".replace("-", "−")


def svg(width: float, height: float, title: str, description: str, parts: Sequence[str]) -> Markup:
    """Return a drawing that fills its container, with name and description for screen readers."""
    return Markup(
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(title)}. '
        f'{escape(description)}">{"".join(parts)}</svg>'
    )
