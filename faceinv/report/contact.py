"""A contact sheet: targets, starts and the reconstructions of each cell, side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from faceinv.report.pictures import read_picture
from faceinv.report.runs import Column, Runs
from faceinv.storage.atomic import write_atomically

#: Rows on the sheet. The folders hold all of them.
ROWS = 12
_TILE, _GAP, _LINE = 128, 6, 18
#: Characters of a caption that are as wide as a tile.
_WIDTH = 18


@dataclass(frozen=True)
class Strip:
    """A column of a contact sheet.

    Args:
        caption: Lines above it; lists are broken after a comma.
        files: A picture per row; ``None`` leaves its place empty.
    """

    caption: Sequence[str]
    files: Sequence[Path | None]


def contact_sheet(runs: Runs) -> Path | None:
    """Write ``contact.png`` of the first study into its run folder, and return its path.

    It has a row per target, and a column for the targets, for the starts and for each cell.

    Raises:
        StorageError: if it cannot be written.
    """
    if not runs.studies:
        return None
    study = runs.studies[0]
    rows = range(min(ROWS, study.first.record.n))
    path = sheet_path(study.first.folder.path)
    write_sheet(
        path,
        [
            Strip(["target"], [study.first.picture(row, "target") for row in rows]),
            Strip(["start"], [study.first.picture(row, "start") for row in rows]),
            *(
                Strip(_caption(choices, column), [column.picture(row) for row in rows])
                for choices, column in zip(study.choices, study.columns, strict=True)
            ),
        ],
    )
    return path


def sheet_path(run: Path) -> Path:
    """Return the path of the contact sheet of a run folder."""
    return run / "contact.png"


def write_sheet(path: Path, strips: Sequence[Strip]) -> None:
    """Write a contact sheet with these columns.

    Raises:
        StorageError: if it cannot be written.
    """
    step = _TILE + _GAP
    captions = [_wrapped(strip.caption) for strip in strips]
    top = _GAP + _LINE * max(caption.count("\n") + 1 for caption in captions)
    height = max(len(strip.files) for strip in strips) * step + _GAP + top
    sheet = Image.new("RGB", (len(strips) * step + _GAP, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for place, (caption, strip) in enumerate(zip(captions, strips, strict=True)):
        left = _GAP + place * step
        draw.multiline_text((left, _GAP), caption, fill="black", font=font, spacing=2)
        for row, file in enumerate(strip.files):
            tile = _tile(file)
            if tile:
                sheet.paste(tile, (left, top + _GAP + row * step))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def _tile(file: Path | None) -> Image.Image | None:
    """Return a picture at the size of a tile, or ``None`` if it cannot be read."""
    if file is None:
        return None
    try:
        return read_picture(file).resize((_TILE, _TILE), Image.Resampling.BICUBIC)
    except OSError:
        return None


def _caption(choices: Sequence[str], column: Column) -> list[str]:
    """Return what tells a column from the others, and its score."""
    lines = list(choices)
    similarity = column.record.metrics.get("id_sim_critic")
    if similarity and similarity.mean is not None:
        lines.append(f"{'attacked, as critic' if column.self_scored else 'critic'} {similarity.mean:.2f}")
    return lines


def _wrapped(lines: Sequence[str]) -> str:
    """Return a caption in lines that are no wider than a tile."""
    # Lists of losses are broken after a comma.
    parts = (part for line in lines for part in wrap(line.replace(",", ", "), _WIDTH, break_on_hyphens=False))
    return "\n".join(part.replace(", ", ",") for part in parts)
