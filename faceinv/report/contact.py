"""A contact sheet: targets, starts and every objective's reconstruction, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from faceinv.records import RunFolder
from faceinv.runner import Outcome

#: Rows on the sheet; the folders hold all of them.
_ROWS = 12
_TILE, _GAP, _HEADING = 128, 6, 44


def contact_sheet(folder: RunFolder, outcomes: Sequence[Outcome]) -> Path | None:
    """Write ``contact.png`` of the finished cells that share their targets; return its path.

    A row per target, a column for the target, for the start and for each cell.
    """
    finished = [outcome for outcome in outcomes if outcome.record["status"] == "ok"]
    if not finished:
        return None
    finished = [outcome for outcome in finished if outcome.record["targets"] == finished[0].record["targets"]]
    rows = min(_ROWS, finished[0].record["n"])
    first = folder.images_folder(finished[0].id)
    columns = [
        ("target", [first / f"{row:05d}-target.png" for row in range(rows)]),
        ("start", [first / f"{row:05d}-start.png" for row in range(rows)]),
        *(
            (_caption(outcome), [folder.images_folder(outcome.id) / f"{row:05d}.png" for row in range(rows)])
            for outcome in finished
        ),
    ]
    step = _TILE + _GAP
    sheet = Image.new("RGB", (len(columns) * step + _GAP, rows * step + _GAP + _HEADING), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, (caption, files) in enumerate(columns):
        left = _GAP + column * step
        draw.multiline_text((left, _GAP), caption, fill="black", font=font, spacing=2)
        for row, file in enumerate(files):
            with Image.open(file) as image:
                tile = image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (left, _HEADING + _GAP + row * step))
    path = folder.path / "contact.png"
    sheet.save(path)
    return path


def _caption(outcome: Outcome) -> str:
    similarity = outcome.record["metrics"].get("id_sim_critic")
    critic = "attacked, as critic" if outcome.cell.critic == outcome.cell.encoder else "critic"
    note = f"\n{critic} {similarity['mean']:.2f}" if similarity else ""
    return f"{','.join(outcome.cell.losses)}{note}"
