"""A matrix of shares as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from faceinv.report.charts import svg

#: Opacity of a share of 1: text can be read on it in light and dark mode.
_DARKEST = 0.5
_LEFT, _HEAD, _WIDE, _HIGH = 116.0, 44.0, 74.0, 46.0


@dataclass(frozen=True)
class Square:
    """A square of the matrix.

    Args:
        share: From 0 to 1, its shade; ``None`` if it was not measured.
        text: What it says.
        small: A second, smaller line, such as an interval.
        marked: Whether it has a frame.
    """

    share: float | None
    text: str
    small: str = ""
    marked: bool = False


def heat_map(
    rows: Sequence[tuple[str, Sequence[Square]]], columns: Sequence[str], title: str, description: str
) -> Markup:
    """Return a matrix with a shade per share.

    Args:
        rows: Name and squares of each row.
        columns: Name of each column.
        title: Its name, for screen readers.
        description: Its content in words.
    """
    width, height = _LEFT + _WIDE * len(columns), _HEAD + _HIGH * len(rows) + 2
    parts = [f'<text class="quiet" x="0" y="{_HEAD - 10}">attacked</text>']
    parts.append(f'<text class="quiet" x="{_LEFT}" y="11">judged by</text>')
    for place, name in enumerate(columns):
        middle = _LEFT + _WIDE * (place + 0.5)
        parts.append(f'<text x="{middle}" y="{_HEAD - 10}" text-anchor="middle">{escape(name)}</text>')
    for line, (name, squares) in enumerate(rows):
        top = _HEAD + _HIGH * line
        parts.append(f'<text x="0" y="{top + _HIGH / 2 + 4}">{escape(name)}</text>')
        parts += [_square(square, _LEFT + _WIDE * place, top) for place, square in enumerate(squares)]
    return svg(width, height, title, description, parts)


def _square(square: Square, left: float, top: float) -> str:
    middle, shade = left + _WIDE / 2, 0.0 if square.share is None else square.share
    # The frame is drawn inside the square, so that its neighbours do not cover it.
    frame = f'<rect class="own" x="{left + 2}" y="{top + 2}" width="{_WIDE - 5}" height="{_HIGH - 5}"/>'
    return (
        f'<g class="heat"><rect class="shade" x="{left}" y="{top}" width="{_WIDE - 1}" height="{_HIGH - 1}" '
        f'fill-opacity="{_DARKEST * shade:.3f}"/>{frame if square.marked else ""}'
        f'<text x="{middle}" y="{top + 20}" text-anchor="middle">{escape(square.text)}</text>'
        f'<text class="small" x="{middle}" y="{top + 35}" text-anchor="middle">{escape(square.small)}</text></g>'
    )
