"""Pictures of an audit, after the paper's Figures 2 and 3. They show photographs of the data set."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from faceinv.audit.attributes import Attribute
from faceinv.audit.audit import Audit
from faceinv.data.images import to_bytes
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.probe_folder import ProbeFolder

_TILE, _GAP, _MARGIN = 128, 6, 150
#: Pictures are drawn at twice the size and reduced, which smooths lines and dots.
_SUPER = 2
_EACH = 4
_COLUMNS = 6
_COLOURS = ((200, 30, 30), (20, 140, 40), (40, 70, 220))

Line = Mapping[str, Any]


def draw_figures(audit: Audit, folder: ProbeFolder, record: ProbeRecord) -> list[Path]:
    """Write ``probes/<id>-examples.png`` and ``probes/<id>-shapes.png`` if there is something to show.

    Args:
        audit: Holds the photographs.
        folder: Holds the record's lines.
        record: The record of one encoder; the pictures show what its first recipe reads.
    """
    lines = [
        line
        for line in folder.rows(record.id)
        if line["source"] == "descriptor" and line["recipe"] == record.config["recipes"][0]
    ]
    read = {line["attribute"] for line in lines}
    attributes = {item.name: item for item in audit.attributes if item.name in read}
    written = []
    binary = [item for item in attributes.values() if item.is_binary]
    if binary:
        path = folder.record_path(record.id).with_name(f"{record.id}-examples.png")
        _examples(audit, binary, lines).save(path)
        written.append(path)
    shown = [attributes[name] for name in ("landmarks", "histogram") if name in attributes]
    if shown:
        path = folder.record_path(record.id).with_name(f"{record.id}-shapes.png")
        _shapes(audit, shown, lines).save(path)
        written.append(path)
    return written


def _examples(audit: Audit, attributes: Sequence[Attribute], lines: Sequence[Line]) -> Image.Image:
    """Return Figure 2: for both answers, photographs that were read correctly and wrongly, the most confident first."""
    rows = [(item, answer) for item in attributes for answer in (1, 0)]
    half = _EACH * (_TILE + _GAP)
    sheet = Image.new("RGB", (_MARGIN + 2 * half + _GAP, 24 + len(rows) * (_TILE + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    draw.text((_MARGIN, 4), "read correctly", fill="black", font=font)
    draw.text((_MARGIN + half + _GAP, 4), "read wrongly", fill="black", font=font)
    for row, (item, answer) in enumerate(rows):
        top = 24 + row * (_TILE + _GAP)
        draw.multiline_text(
            (_GAP, top + 40), f"{item.name}\nread as {'yes' if answer else 'no'}", fill="black", font=font
        )
        of_answer = [x for x in lines if x["attribute"] == item.name and (x["read"][0] > 0.5) == bool(answer)]
        of_answer.sort(key=lambda x: x["read"][0], reverse=bool(answer))
        for side, wrong in enumerate((0, 1)):
            chosen = _of_different_people([x for x in of_answer if x["error"] == wrong])[:_EACH]
            for place, line in enumerate(chosen):
                left = _MARGIN + side * (half + _GAP) + place * (_TILE + _GAP)
                sheet.paste(_tile(audit, line["image"]), (left, top))
    return sheet


def _shapes(audit: Audit, attributes: Sequence[Attribute], lines: Sequence[Line]) -> Image.Image:
    """Return Figure 3: photographs with true landmarks, with those that were read, and both histograms."""
    by_name = {item.name: {x["image"]: x for x in lines if x["attribute"] == item.name} for item in attributes}
    common = [name for name in next(iter(by_name.values())) if all(name in found for found in by_name.values())]
    anyone = next(iter(by_name.values()))
    people = _of_different_people([anyone[name] for name in common])
    # Choose evenly by error, so that the picture shows neither the best nor the worst.
    people.sort(key=lambda x: x["error"])
    step = max(1, len(people) // _COLUMNS)
    chosen = [line["image"] for line in people[step // 2 :: step][:_COLUMNS]]
    titles = []
    if "landmarks" in by_name:
        titles += ["true landmarks", "read landmarks"]
    if "histogram" in by_name:
        titles += ["histograms\ndotted: true\nsolid: read"]
    sheet = Image.new("RGB", (_MARGIN + len(chosen) * (_TILE + _GAP), len(titles) * (_TILE + _GAP) + _GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for row, title in enumerate(titles):
        draw.multiline_text((_GAP, row * (_TILE + _GAP) + 40), title, fill="black", font=font)
    for column, name in enumerate(chosen):
        left, tiles = _MARGIN + column * (_TILE + _GAP), []
        if "landmarks" in by_name:
            line = by_name["landmarks"][name]
            tiles += [_with_points(audit, name, line["truth"]), _with_points(audit, name, line["read"])]
        if "histogram" in by_name:
            line = by_name["histogram"][name]
            tiles.append(_histograms(line["truth"], line["read"]))
        for row, tile in enumerate(tiles):
            sheet.paste(tile, (left, _GAP + row * (_TILE + _GAP)))
    return sheet


def _of_different_people(lines: Sequence[Line]) -> list[Line]:
    """Return the first line of each person."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line["identity"], line)
    return list(first.values())


def _tile(audit: Audit, name: str, size: int = _TILE) -> Image.Image:
    return Image.fromarray(to_bytes(_photograph(audit, name))).resize((size, size), Image.Resampling.BICUBIC)


def _photograph(audit: Audit, name: str) -> Tensor:
    """Return an image of the data set in the frame that its attributes are measured in."""
    return audit.material.framed(audit.material.dataset.ids.index(name))


def _with_points(audit: Audit, name: str, values: Sequence[float]) -> Image.Image:
    size = _TILE * _SUPER
    tile = _tile(audit, name, size)
    draw = ImageDraw.Draw(tile)
    for x, y in np.asarray(values).reshape(-1, 2) * size:
        draw.ellipse((x - 2.4, y - 2.4, x + 2.4, y + 2.4), fill=(60, 255, 60))
    return tile.resize((_TILE, _TILE), Image.Resampling.LANCZOS)


def _histograms(truth: Sequence[float], read: Sequence[float]) -> Image.Image:
    size = _TILE * _SUPER
    tile = Image.new("RGB", (size, size), (245, 245, 245))
    draw = ImageDraw.Draw(tile)
    true, found = (torch.tensor(list(values)).view(3, -1) for values in (truth, read))
    height = max(0.3, float(true.max()), float(found.max()))
    for channel, colour in enumerate(_COLOURS):
        for values, dotted in ((true[channel], True), (found[channel], False)):
            x = np.linspace(8, size - 8, len(values))
            y = size - 8 - (size - 16) * values.numpy() / height
            _polyline(draw, np.stack([x, y], 1), colour, dotted)
    return tile.resize((_TILE, _TILE), Image.Resampling.LANCZOS)


def _polyline(draw: ImageDraw.ImageDraw, points: Any, colour: tuple[int, int, int], dotted: bool) -> None:
    if not dotted:
        draw.line([tuple(point) for point in points], fill=colour, width=3)
        return
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        count = max(2, int(np.hypot(x1 - x0, y1 - y0) / 7))
        for share in np.linspace(0, 1, count, endpoint=False):
            x, y = x0 + share * (x1 - x0), y0 + share * (y1 - y0)
            draw.ellipse((x - 1.8, y - 1.8, x + 1.8, y + 1.8), fill=colour)
