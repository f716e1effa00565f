"""A figure: pictures and small plots in rows and columns above a caption, as PNG, PDF or SVG."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from faceinv.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Formats of a figure, by the suffix of its file.
FORMATS = ("png", "pdf", "svg")
#: Inches.
_TILE, _GAP, _BREAK, _HEADING, _LINE = 1.1, 0.06, 0.3, 1.2, 0.13
_SMALL = 7.5
#: Characters of a caption per inch of its width.
_PER_INCH = 17
_CHANNELS = ("tab:red", "tab:green", "tab:blue")
#: Dots per inch of PNG files.
_DPI = 200

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Tile:
    """A place of the grid; empty without a picture or plot.

    Args:
        image: A picture, drawn in its own aspect ratio.
        points: ``(k, 2)`` drawn over it, in coordinates of its frame.
        histograms: True and read ``(channels, bins)``, drawn as dotted and as solid lines.
        text: A line below it.
    """

    image: Image.Image | None = None
    points: FloatArray | None = None
    histograms: tuple[FloatArray, FloatArray] | None = None
    text: str = ""


@dataclass(frozen=True)
class Row:
    """A row of tiles with its heading."""

    heading: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Drawing:
    """A figure that is drawn.

    Args:
        number: Its number in the paper.
        name: Tells it from others of the same number, as a part of a file name.
        caption: What it shows, with n and what differs from the paper.
        figure: The drawing, with the caption below.
    """

    number: int
    name: str
    caption: str
    figure: Figure

    def content(self, form: str, dpi: int = _DPI) -> bytes:
        """Return the figure as a file, ``"png"``, ``"pdf"`` or ``"svg"``; equal figures give equal bytes."""
        import matplotlib

        # Without the time of writing and random ids, which would make every file another one.
        dates: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}
        buffer = io.BytesIO()
        with matplotlib.rc_context({"svg.hashsalt": "faceinv", "pdf.fonttype": 42}):
            self.figure.savefig(buffer, format=form, dpi=dpi, metadata=dates.get(form))
        return buffer.getvalue()


def check_drawing() -> None:
    """Raise :class:`UsageError` if figures cannot be drawn."""
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError:
        raise UsageError("Figures need matplotlib: pip install 'faceinv[figures]'.") from None


def grid(
    rows: Sequence[Row], caption: str, *, headings: Sequence[tuple[int, str]] = (), break_every: int = 0
) -> Figure:
    """Return pictures in rows and columns above a caption.

    Args:
        rows: The rows, of equally many tiles.
        caption: Text below.
        headings: (column, text) above columns, from that column on.
        break_every: Number of columns between wider gaps; 0 for none.
    """
    columns = max(len(row.tiles) for row in rows)
    breaks = [place // break_every if break_every else 0 for place in range(columns)]
    left = [_HEADING + place * (_TILE + _GAP) + breaks[place] * _BREAK for place in range(columns)]
    heights = [max((_height(tile) for tile in row.tiles), default=_TILE) for row in rows]
    texts = [_LINE + 0.03 if any(tile.text for tile in row.tiles) else 0 for row in rows]
    width, head = left[-1] + _TILE + _GAP, 0.22 if headings else _GAP
    body = head + sum(heights) + sum(texts) + _GAP * len(rows)
    figure, height = blank(width, body, caption)
    for column, text in headings:
        figure.text(left[column] / width, 1 - 0.15 / height, text, fontsize=8.5, weight="bold")
    top = head
    for row, tall, below in zip(rows, heights, texts, strict=True):
        middle = 1 - (top + tall / 2) / height
        figure.text(_GAP / width, middle, row.heading, fontsize=_SMALL, va="center", linespacing=1.3)
        for start, tile in zip(left, row.tiles, strict=False):
            if tile.image is None and tile.histograms is None:
                continue
            axes = figure.add_axes((start / width, 1 - (top + tall) / height, _TILE / width, tall / height))
            _draw(axes, tile)
            if tile.text:
                place = ((start + _TILE / 2) / width, 1 - (top + tall + _LINE) / height)
                figure.text(*place, tile.text, fontsize=6.5, ha="center")
        top += tall + below + _GAP
    return figure


def blank(width: float, body: float, caption: str) -> tuple[Figure, float]:
    """Return a figure of ``width`` inches with a caption below a body of ``body`` inches, and its height in inches."""
    check_drawing()
    from matplotlib.figure import Figure

    lines = textwrap.wrap(caption, int((width - 2 * _GAP) * _PER_INCH))
    height = body + _LINE * len(lines) + 2 * _GAP
    figure = Figure(figsize=(width, height))
    figure.text(_GAP / width, _GAP / height, "\n".join(lines), fontsize=_SMALL, va="bottom", linespacing=1.2)
    return figure, height


def _height(tile: Tile) -> float:
    return _TILE if tile.image is None else _TILE * tile.image.height / tile.image.width


def _draw(axes: Axes, tile: Tile) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    for side in axes.spines.values():
        side.set_visible(tile.image is None)
        side.set_color("0.7")
    if tile.image is not None:
        axes.imshow(np.asarray(tile.image), extent=(0, 1, 1, 0), aspect=tile.image.height / tile.image.width)
        if tile.points is not None:
            x, y = tile.points.reshape(-1, 2).T
            axes.scatter(x, y, s=1.6, c="lime", linewidths=0)
            axes.set(xlim=(0, 1), ylim=(1, 0))
    elif tile.histograms is not None:
        true, read = tile.histograms
        for channel, colour in zip(range(len(true)), _CHANNELS, strict=False):
            axes.plot(true[channel], color=colour, linestyle=(0, (1, 1.2)), linewidth=1.1)
            axes.plot(read[channel], color=colour, linewidth=0.9)
        axes.set_ylim(0, 1.05 * max(0.3, float(true.max()), float(read.max())))
