"""A contact sheet: targets, starts and every objective's reconstruction, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap

from PIL import Image, ImageDraw, ImageFont

from faceinv.bench.runner import Outcome
from faceinv.report.tables import heading
from faceinv.storage.run_folder import RunFolder

#: Rows on the sheet; the folders hold all of them.
_ROWS = 12
_TILE, _GAP, _LINE = 128, 6, 18
#: Characters of a caption that are as wide as a tile.
_WIDTH = 18


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
            (_caption(outcome, finished), [folder.images_folder(outcome.id) / f"{row:05d}.png" for row in range(rows)])
            for outcome in finished
        ),
    ]
    step = _TILE + _GAP
    top = _GAP + _LINE * max(caption.count("\n") + 1 for caption, _ in columns)
    sheet = Image.new("RGB", (len(columns) * step + _GAP, rows * step + _GAP + top), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, (caption, files) in enumerate(columns):
        left = _GAP + column * step
        draw.multiline_text((left, _GAP), caption, fill="black", font=font, spacing=2)
        for row, file in enumerate(files):
            with Image.open(file) as image:
                tile = image.convert("RGB").resize((_TILE, _TILE), Image.Resampling.BICUBIC)
            sheet.paste(tile, (left, top + _GAP + row * step))
    path = folder.path / "contact.png"
    sheet.save(path)
    return path


def _caption(outcome: Outcome, finished: Sequence[Outcome]) -> str:
    """Return what tells the column from the others, and its score, in lines that are no wider than a tile."""
    lines = heading(outcome, finished).split("\n")
    similarity = outcome.record["metrics"].get("id_sim_critic")
    critic = "attacked, as critic" if outcome.cell.critic == outcome.cell.encoder else "critic"
    if similarity:
        lines.append(f"{critic} {similarity['mean']:.2f}")
    # Lists of losses are broken after a comma.
    return "\n".join(part.replace(", ", ",") for line in lines for part in wrap(line.replace(",", ", "), _WIDTH))
