"""HTML for notebooks: tables and small pictures in the cell itself, without a file, a script or a request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from faceinv.report import gallery
from faceinv.report.comparison_page import comparison_table
from faceinv.report.pictures import Pictures, data_uri
from faceinv.report.run_tables import shown
from faceinv.report.table import Table
from faceinv.report.table_1 import printed, tables as tables_1

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.report.comparison import Comparison
    from faceinv.report.runs import Runs

#: Rows of pictures that a cell shows, and the side of a picture on the screen.
_ROWS, _SIDE = 8, 96
#: Bytes of all pictures of a cell: a notebook keeps them for ever.
_BUDGET = 2_000_000


def of_runs(runs: Runs) -> Markup:
    """Return the tables of runs, and the first targets with their reconstructions."""
    pictures = Pictures.fitting((file for study in runs.studies for file in gallery.picture_files(study)), _BUDGET)
    parts = []
    for study in runs.studies:
        found = gallery.gallery(study, pictures, None)
        if found:
            rows = [[tile.uri for tile in row.tiles] for row in found.rows[:_ROWS]]
            parts.append(_grid(found.headings, rows, len(found.rows) - len(rows)))
    parts += [of_table(table) for table in shown(runs)]
    parts += [of_table(printed(table)) for table in tables_1(runs.probes)]
    failed = [
        Markup("<p><b>Failed:</b> {} on {}: {}</p>").format(
            ",".join(record.config.losses), record.config.encoder, record.error
        )
        for record in runs.failed
    ]
    return Markup("").join([*parts, *failed])


def of_comparison(comparison: Comparison) -> Markup:
    """Return the verdict and the table of a comparison."""
    return Markup("<p>{}</p>").format(comparison.verdict) + of_table(comparison_table(comparison))


def of_images(headings: Sequence[str], columns: Sequence[Tensor]) -> Markup:
    """Return a row of pictures per image.

    Args:
        headings: Heading of each column.
        columns: Images ``(N, 3, H, W)`` in ``[0, 1]`` of each column.
    """
    from PIL import Image

    from faceinv.data.images import to_bytes

    rows = [[data_uri(Image.fromarray(to_bytes(image))) for image in images] for images in zip(*columns, strict=True)]
    return _grid(headings, rows[:_ROWS], len(rows[_ROWS:]))


def of_table(table: Table) -> Markup:
    """Return a table with its caption and note."""
    head = _row("th", [table.corner, *table.columns])
    body = [_row("td", [line.heading, *(cell.whole for cell in line.cells)]) for line in table.lines]
    return Markup("<table><caption>{}</caption>{}{}</table><p><i>{}</i></p>").format(
        table.title, head, Markup("").join(body), table.remarks
    )


def of_rows(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Markup:
    """Return a plain table of texts."""
    body = Markup("").join(_row("td", row) for row in rows)
    return Markup("<table>{}{}</table>").format(_row("th", headings), body)


def _grid(headings: Sequence[str], rows: Sequence[Sequence[str]], more: int) -> Markup:
    """Return rows of pictures, given as data URIs, and the number of those that are not shown."""
    picture = Markup('<img src="{0}" alt="{1}" width={2} height={2} style="image-rendering:auto">')
    lines = [
        Markup("<tr>{}</tr>").format(
            Markup("").join(
                Markup("<td>{}</td>").format(picture.format(uri, heading, _SIDE) if uri else "–")
                for heading, uri in zip(headings, row, strict=True)
            )
        )
        for row in rows
    ]
    rest = Markup("<p><i>and {} more</i></p>").format(more) if more else Markup("")
    return Markup("<table>{}{}</table>{}").format(_row("th", headings), Markup("").join(lines), rest)


def _row(tag: str, cells: Sequence[str]) -> Markup:
    texts = Markup("").join(Markup(f"<{tag}>{{}}</{tag}>").format(escape(cell)) for cell in cells)
    return Markup("<tr>{}</tr>").format(texts)
