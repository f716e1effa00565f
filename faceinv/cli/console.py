"""What commands print with: nothing in a name is markup, and tables fit the terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType, RenderResult
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from faceinv.errors import visible

#: Columns of output that goes to a file or another program.
_PIPED = 160
_GAP = 2


class PlainConsole(Console):
    """A console that prints text as it is.

    Names of files, people and plugins may hold square brackets, emoji codes and escape sequences. None of them is
    interpreted: control characters are shown as escapes.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, markup=False, emoji=False, highlight=False)
        if not stderr and not self.is_terminal:
            self.width = max(self.width, _PIPED)

    def render(self, renderable: RenderableType, options: Any = None) -> Iterable[Segment]:
        """Render with control characters made visible."""
        for segment in super().render(renderable, options):
            text = segment.text
            if segment.control or text.isprintable() or text == "\n":
                yield segment
            else:
                yield Segment("\n".join(map(visible, text.split("\n"))), segment.style)


class Columns:
    """Rows under headings; where a terminal is too narrow for that, a block of lines for each row.

    Args:
        headings: One per column.
        rows: Their texts.
        right: Headings of the columns of numbers.
    """

    def __init__(self, headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
        self._headings = [visible(text) for text in headings]
        self._rows = [[visible(text) for text in row] for row in rows]
        self._right = frozenset(right)

    def __rich_console__(self, console: Console, options: Any) -> RenderResult:
        """Yield the table, or the blocks."""
        columns = list(zip(self._headings, *self._rows, strict=True))
        least = [max(cell_len(part) for text in texts for part in [*_parts(text), ""]) for texts in columns]
        room = options.max_width - _GAP * (len(columns) - 1)
        if sum(least) > room:
            yield from self._blocks()
            return
        whole = [max(map(cell_len, texts)) for texts in columns]
        table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, _GAP, 0, 0))
        widths = _shared(least, whole, room)
        for heading, width in zip(self._headings, widths, strict=True):
            table.add_column(heading, width=width, justify="right" if heading in self._right else "left")
        for row in self._rows:
            table.add_row(*map(_wrapped, row, widths))
        yield table

    def _blocks(self) -> RenderResult:
        indent = max(map(len, self._headings)) + _GAP
        for number, row in enumerate(self._rows):
            if number:
                yield Text()
            block = Table.grid(padding=(0, _GAP, 0, 0))
            block.add_column(width=indent - _GAP, style="bold")
            block.add_column(overflow="fold")
            for heading, text in zip(self._headings, row, strict=True):
                if text:
                    block.add_row(heading, text)
            yield block


def _parts(text: str) -> list[str]:
    """Return the pieces of ``text`` between which a line may end: after spaces, hyphens and slashes."""
    return re.findall(r"\s|[^\s/-]+[/-]*|[/-]+", text)


def _wrapped(text: str, width: int) -> str:
    """Return ``text`` in lines of ``width`` columns."""
    lines = [""]
    for part in _parts(text):
        if lines[-1] and cell_len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        lines[-1] += part if lines[-1] else part.lstrip()
    return "\n".join(line.rstrip() for line in lines)


def _shared(least: Sequence[int], whole: Sequence[int], room: int) -> list[int]:
    """Return widths of columns: the ``least`` each needs, and the rest of the room to those that need less first."""
    widths = list(least)
    left = room - sum(widths)
    needing = sorted(range(len(widths)), key=lambda place: whole[place] - least[place])
    for done, place in enumerate(needing):
        more = min(whole[place] - least[place], left // (len(needing) - done))
        widths[place] += more
        left -= more
    return widths


def json_text(value: Any, encoding: str = "utf-8") -> str:
    """Return ``value`` as JSON; NaN becomes null, and what no terminal should interpret an escape."""
    from faceinv.storage.schema import finite

    unicode = encoding.lower().replace("-", "").startswith("utf")
    text = json.dumps(finite(value), indent=2, ensure_ascii=not unicode, allow_nan=False)
    if unicode:
        text = re.sub(
            r"[^\n -~]", lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text
        )
    return text + "\n"
