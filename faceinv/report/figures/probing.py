"""Figures 2 and 3: photographs with what was read from their descriptors alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faceinv.errors import InputError, described
from faceinv.report.figures import wording
from faceinv.report.figures.sheet import Drawing, FloatArray, Row, Tile, grid
from faceinv.report.pictures import read_picture
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.probe_folder import ProbeFolder

#: Photographs of each kind in Figure 2, and in Figure 3.
_EACH, _COLUMNS = 4, 6

Line = Mapping[str, Any]


@dataclass(frozen=True)
class Readings:
    """What one recipe read from the descriptors of one encoder.

    Args:
        folder: Holds the record and the photographs that are kept.
        record: The record.
        encoder: The encoder.
        recipe: The recipe.
        lines: A line per image and attribute, by attribute.
    """

    folder: ProbeFolder
    record: ProbeRecord
    encoder: str
    recipe: str
    lines: Mapping[str, Sequence[Line]]

    @property
    def binary(self) -> list[str]:
        """The attributes that Figure 2 shows."""
        return [name for name in self.lines if self.record.attributes[name].share is not None]

    @property
    def shapes(self) -> list[str]:
        """The attributes that Figure 3 shows."""
        return [name for name in ("landmarks", "histogram") if name in self.lines]

    def shown(self) -> list[str]:
        """Return the images that any figure shows."""
        examples = [line["image"] for name in self.binary for _, lines in self.examples(name) for line in lines]
        return list(dict.fromkeys([*examples, *self.evenly()]))

    def examples(self, attribute: str) -> Iterator[tuple[str, list[Line]]]:
        """Yield for both answers, first right and then wrong, the photographs read so most confidently."""
        for answer in (1, 0):
            lines = [line for line in self.lines[attribute] if (line["read"][0] > 0.5) == bool(answer)]
            lines.sort(key=lambda line: line["read"][0], reverse=bool(answer))
            for wrong in (0, 1):
                chosen = _of_different_people([line for line in lines if line["error"] == wrong])[:_EACH]
                yield "yes" if answer else "no", chosen

    def evenly(self) -> list[str]:
        """Return images at equal steps from the smallest to the largest error, so that none is picked by eye."""
        if not self.shapes:
            return []
        known = [{line["image"] for line in self.lines[name]} for name in self.shapes]
        lines = [line for line in self.lines[self.shapes[0]] if all(line["image"] in names for names in known)]
        people = sorted(_of_different_people(lines), key=lambda line: line["error"])
        step = max(1, len(people) // _COLUMNS)
        return [line["image"] for line in people[step // 2 :: step][:_COLUMNS]]

    def tile(self, image: str, points: Sequence[float] | None = None) -> Tile:
        """Return a photograph that was kept, with ``points`` drawn on it.

        Raises:
            InputError: if it was not kept.
        """
        path = self.folder.photograph_path(self.record.id, image)
        if not path.is_file():
            raise InputError(
                f"{self.folder.path} keeps no photographs of '{self.record.id}'. Run the same 'faceinv probe' with "
                "--figures again: it keeps them, and computes nothing again."
            )
        return Tile(read_picture(path), None if points is None else np.asarray(points, np.float32).reshape(-1, 2))


def readings(folder: ProbeFolder, record: ProbeRecord) -> list[Readings]:
    """Return what each recipe read from descriptors.

    Raises:
        InputError: the rows of the record are missing or damaged.
    """
    try:
        rows = folder.rows(record.id)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder.rows_path(record.id)} cannot be read: {described(error)}.") from None
    found: dict[tuple[str, str], dict[str, list[Line]]] = {}
    for line in rows:
        if line["source"] == "descriptor":
            of = found.setdefault((line["encoder"], line["recipe"]), {})
            of.setdefault(line["attribute"], []).append(line)
    return [Readings(folder, record, *key, lines) for key, lines in found.items()]


def figure_2(read: Readings) -> Drawing | None:
    """Return examples of right and wrong answers, or ``None`` if no attribute is binary."""
    if not read.binary:
        return None
    rows = []
    for name in read.binary:
        found = list(read.examples(name))
        for (answer, right), (_, wrong) in zip(found[::2], found[1::2], strict=True):
            tiles = [Tile(), *([Tile()] * (2 * _EACH - 1))]
            for side, lines in enumerate((right, wrong)):
                for place, line in enumerate(lines):
                    tiles[side * _EACH + place] = read.tile(line["image"])
            rows.append(Row(f"{name.replace('_', ' ')}\nread as {answer}", tiles))
    caption = (
        "Figure 2. Photographs whose attribute was read correctly and wrongly from the descriptor alone: of different "
        f"people, those read most confidently first. {wording.of_probe(read.record, read.encoder, read.recipe)}"
    )
    headings = [(0, "read correctly"), (_EACH, "read wrongly")]
    return Drawing(2, _name(read), caption, grid(rows, caption, headings=headings, break_every=_EACH))


def figure_3(read: Readings) -> Drawing | None:
    """Return true and read landmarks and histograms, or ``None`` if neither was read."""
    images = read.evenly()
    if not images:
        return None
    lines = {name: {line["image"]: line for line in read.lines[name]} for name in read.shapes}
    rows = []
    if "landmarks" in lines:
        of = lines["landmarks"]
        rows += [
            Row("true landmarks", [read.tile(name, of[name]["truth"]) for name in images]),
            Row("landmarks read\nfrom the\ndescriptor", [read.tile(name, of[name]["read"]) for name in images]),
        ]
    else:
        rows.append(Row("photograph", [read.tile(name) for name in images]))
    if "histogram" in lines:
        of = lines["histogram"]
        pairs = [(_channels(of[name]["truth"]), _channels(of[name]["read"])) for name in images]
        rows.append(Row("histograms: true\n(dotted) and read\n(solid)", [Tile(histograms=pair) for pair in pairs]))
    caption = (
        "Figure 3. Attributes read from the descriptor alone, of different people at equal steps from the smallest to "
        f"the largest error of {read.shapes[0]}. {wording.of_probe(read.record, read.encoder, read.recipe)}"
    )
    return Drawing(3, _name(read), caption, grid(rows, caption))


def _channels(values: Sequence[float]) -> FloatArray:
    return np.asarray(values, np.float32).reshape(3, -1)


def _name(read: Readings) -> str:
    return f"{read.encoder}-{read.recipe}"


def _of_different_people(lines: Sequence[Line]) -> list[Line]:
    """Return the first line of each person."""
    first: dict[str, Line] = {}
    for line in lines:
        first.setdefault(line["identity"], line)
    return list(first.values())
