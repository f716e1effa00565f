"""A contact sheet: targets, starts and the reconstructions of each objective, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from faceinv.report.pictures import read_picture
from faceinv.report.runs import Column, Runs
from faceinv.storage.atomic import write_atomically

#: Rows on the sheet. The folders hold all of them.
_ROWS = 12
_TILE, _GAP, _LINE = 128, 6, 18
#: Characters of a caption that are as wide as a tile.
_WIDTH = 18


def contact_sheet(runs: Runs) -> Path | None:
    """Write ``contact.png`` of the first study into its run folder, and return its path.

    It has a row per target, and a column for the targets, for the starts and for each cell.

    Raises:
        StorageError: if it cannot be written.
    """
    if not runs.studies:
        return None
    study = runs.studies[0]
    rows = range(min(_ROWS, study.first.record.n))
    columns = [
        ("target", [study.first.picture(row, "target") for row in rows]),
        ("start", [study.first.picture(row, "start") for row in rows]),
    ]
    columns += [
        (_caption(choices, column), [column.picture(row) for row in rows])
        for choices, column in zip(study.choices, study.columns, strict=True)
    ]
    step = _TILE + _GAP
    top = _GAP + _LINE * max(caption.count("\n") + 1 for caption, _ in columns)
    sheet = Image.new("RGB", (len(columns) * step + _GAP, len(rows) * step + _GAP + top), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for place, (caption, files) in enumerate(columns):
        left = _GAP + place * step
        draw.multiline_text((left, _GAP), caption, fill="black", font=font, spacing=2)
        for row, file in enumerate(files):
            tile = _tile(file)
            if tile:
                sheet.paste(tile, (left, top + _GAP + row * step))
    path, buffer = study.first.folder.path / "contact.png", io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())
    return path


def _tile(file: Path | None) -> Image.Image | None:
    """Return a picture at the size of a tile, or ``None`` if it cannot be read."""
    if file is None:
        return None
    try:
        return read_picture(file).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
    except OSError:
        return None


def _caption(choices: Sequence[str], column: Column) -> str:
    """Return what tells a column from the others, and its score, in lines that are no wider than a tile."""
    lines = list(choices)
    similarity = column.record.metrics.get("id_sim_critic")
    if similarity and similarity.mean is not None:
        lines.append(f"{'attacked, as critic' if column.self_scored else 'critic'} {similarity.mean:.2f}")
    # Lists of losses are broken after a comma.
    parts = (part for line in lines for part in wrap(line.replace(",", ", "), _WIDTH, break_on_hyphens=False))
    return "\n".join(part.replace(", ", ",") for part in parts)
