"""The paper's Table 1: attributes read from a descriptor, compared with guessing and with the photograph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faceinv.report import paper
from faceinv.report.runs import EXACT
from faceinv.report.table import Cell, Line, Table, csv_text
from faceinv.report.values import Interval, interval_of_record
from faceinv.storage.audit_records import ProbeRecord, ProbeRow

#: Main score of an attribute, the first of these that it has: whether it is a share, and its decimals.
_MAIN = (("accuracy", True, 1), ("landmark_error", False, 2), ("histogram_emd", False, 2), ("r2", False, 3))
_FURTHER = (("auc", "AUC", 3), ("leakage", "leakage", 2))
#: All scores: name, heading, whether it is a share, and decimals.
_ALL = (
    ("accuracy", "accuracy", True, 1),
    ("balanced_accuracy", "balanced", True, 1),
    ("auc", "AUC", False, 3),
    ("landmark_error", "landmark error, %", False, 2),
    ("histogram_emd", "EMD, bins", False, 2),
    ("r2", "R²", False, 2),
    ("leakage", "leakage", False, 2),
)
_UNITS = {
    "accuracy": "% right ↑",
    "landmark_error": "% interocular ↓",
    "histogram_emd": "EMD, bins ↓",
    "r2": "R² ↑",
}
_SOURCES = {"descriptor": "From the descriptor", "image": "From the image", "baseline": "Always the same guess"}

NOTE = (
    "The paper used CelebA, 188k photographs to train on and 15k to test. Its landmark errors are a share of an "
    "interocular distance that it does not define, here that of the outer eye corners; its histogram EMD has no unit, "
    "and numbers on our scale (10 bins, summed over red, green and blue: 0 to 27) are of similar size. Photographs, "
    "labels and networks differ: compare the distance from baseline to image, not the numbers."
)

#: A record, the index of one of its rows, and the row.
Found = tuple[ProbeRecord, int, ProbeRow]


@dataclass(frozen=True)
class Attribute:
    """A column: an attribute, the unit of its main score, and the number of photographs."""

    name: str
    title: str
    unit: str
    n: str


@dataclass(frozen=True)
class Reading:
    """How well an attribute was read.

    Args:
        main: Its main score.
        further: (name, score) of the others.
        percent: Whether the main score is a share, shown in percent.
    """

    main: Interval
    further: tuple[tuple[str, Interval], ...]
    percent: bool


@dataclass(frozen=True)
class Source:
    """A row: where the attributes were read from."""

    title: str
    detail: str
    encoder: str
    cells: tuple[Reading | None, ...]

    @property
    def name(self) -> str:
        """Title and detail."""
        return _titled(self.title, self.detail)


@dataclass(frozen=True)
class Table1:
    """The table of one data set.

    Args:
        dataset: Name of the data set.
        attributes: The columns.
        sources: The measured rows.
        reported: (row, cells) as the paper prints them.
    """

    dataset: str
    attributes: tuple[Attribute, ...]
    sources: tuple[Source, ...]
    reported: tuple[tuple[str, tuple[str, ...]], ...]


def unique(records: Sequence[ProbeRecord]) -> list[Found]:
    """Return the rows of all records, descriptors first; those of image and baseline only once."""
    found: dict[tuple[str | None, ...], Found] = {}
    for record in records:
        for place, row in enumerate(record.rows):
            key = (row.encoder, row.precision, row.attribute, row.source, row.recipe, row.dataset)
            found.setdefault(key, (record, place, row))
    order = list(_SOURCES)
    return sorted(found.values(), key=lambda item: order.index(item[2].source))


def tables(records: Sequence[ProbeRecord]) -> tuple[Table1, ...]:
    """Return a table for each data set that probes were scored on."""
    rows = unique(records)
    datasets = dict.fromkeys(row.dataset for record in records for row in record.rows)
    return tuple(_table(name, [item for item in rows if item[2].dataset == name]) for name in datasets)


def _table(dataset: str, rows: Sequence[Found]) -> Table1:
    names = list(dict.fromkeys(row.attribute for _, _, row in rows))
    order = list(next(iter(paper.TABLE_1.values())))
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    groups: dict[tuple[str, str, str], dict[str, Reading]] = {}
    mains: dict[str, str] = {}
    for record, place, row in rows:
        main = next((item for item in _MAIN if item[0] in row.metrics), None)
        if main is None:
            continue
        mains[row.attribute] = main[0]
        at = ("rows", place, "metrics")
        reading = Reading(
            interval_of_record(record, main[2], *at, main[0], percent=main[1]),
            tuple(
                (title, interval_of_record(record, digits, *at, name))
                for name, title, digits in _FURTHER
                if name in row.metrics
            ),
            main[1],
        )
        encoder = (row.encoder or "") if row.source == "descriptor" else ""
        groups.setdefault((row.source, _detail(row), encoder), {}).setdefault(row.attribute, reading)
    sources = tuple(
        Source(_SOURCES[source], detail, encoder, tuple(cells.get(name) for name in names))
        for (source, detail, encoder), cells in groups.items()
    )
    reported = tuple(
        (title, tuple(values.get(name, "") for name in names))
        for title, values in paper.TABLE_1.items()
        if any(name in values for name in names)
    )
    attributes = tuple(
        Attribute(
            name,
            name.replace("_", " ").replace("-", " ").capitalize(),
            _UNITS.get(mains.get(name, ""), ""),
            " to ".join(str(n) for n in sorted({row.n for _, _, row in rows if row.attribute == name})),
        )
        for name in names
    )
    return Table1(dataset, attributes, sources, reported)


def _detail(row: ProbeRow) -> str:
    """Return the encoder and the recipe of a row; without an encoder, only the paper's network has a row of its own."""
    if row.source != "descriptor":
        return f"recipe {row.recipe}" if row.recipe == "paper" else ""
    lowered = f" in {row.precision}" if row.precision not in (None, EXACT) else ""
    return ", ".join(filter(None, (f"{row.encoder or ''}{lowered}", f"recipe {row.recipe}" if row.recipe else "")))


def _titled(title: str, detail: str) -> str:
    return f"{title} ({detail})" if detail else title


def printed(table: Table1, note: str = "") -> Table:
    """Return the table as it is printed and exported, with the paper's values in rows of their own."""
    lines = []
    for source in table.sources:
        cells = (Cell.of_interval(cell.main, "%" if cell.percent else "") if cell else Cell() for cell in source.cells)
        lines.append(Line(source.name, "", "", tuple(cells), encoder=source.encoder))
    lines += [
        Line(f"{title}, reported", "", "", tuple(map(Cell.of_reported, cells))) for title, cells in table.reported
    ]
    columns = tuple(f"{item.title} ({item.unit})" if item.unit else item.title for item in table.attributes)
    reported = f"Reported: {paper.SOURCE}, Table 1 (CelebA)."
    about = {"dataset": table.dataset}
    return Table("probes", table.dataset, f"{reported} {note}".strip(), columns, tuple(lines), about=about)


def details(records: Sequence[ProbeRecord]) -> Table:
    """Return a table with all scores, a row for each attribute and source."""
    found = unique(records)
    order = list(dict.fromkeys(row.attribute for _, _, row in found))
    present = [item for item in _ALL if any(item[0] in row.metrics for _, _, row in found)]
    lines = []
    for record, place, row in sorted(found, key=lambda item: order.index(item[2].attribute)):
        cells = [Cell(str(row.n), value=row.n)]
        for name, _, percent, digits in present:
            if name not in row.metrics:
                cells.append(Cell(""))
                continue
            value = interval_of_record(record, digits, "rows", place, "metrics", name, percent=percent)
            cells.append(Cell.of_interval(value, "%" if percent else ""))
        source = _detail(row) if row.source == "descriptor" else _titled(_SOURCES[row.source], _detail(row))
        lines.append(Line(f"{row.attribute}: {source}", "", "", tuple(cells)))
    columns = ("n", *(heading for _, heading, _, _ in present))
    note = "95 % intervals over people. Leakage is 0 at the baseline and 1 at the image."
    return Table("details", "All scores", note, columns, tuple(lines))


def as_csv(rows: Sequence[ProbeRow]) -> str:
    """Return a line for each row and score: what it belongs to, n, metric, mean, low and high."""
    keys = ("encoder", "precision", "attribute", "source", "recipe", "dataset", "n")
    lines = [
        [*(getattr(row, key) for key in keys), name, score.mean, score.low, score.high]
        for row in rows
        for name, score in row.metrics.items()
    ]
    return csv_text([*keys, "metric", "mean", "low", "high"], lines)


@dataclass(frozen=True)
class Lead:
    """The first sentence of a page without an inversion.

    Args:
        attribute: Name of the attribute.
        encoder: The encoder, and the recipe of the head.
        read: The score of what is read from the descriptor.
        guess: The score of always guessing the same.
        unit: Unit of both.
        n: Number of photographs.
    """

    attribute: str
    encoder: str
    read: Interval
    guess: Interval
    unit: str
    n: str


def lead(found: Sequence[Table1]) -> Lead | None:
    """Return the first attribute that was both read and guessed."""
    for table in found:
        by_title = {source.title: source for source in reversed(table.sources)}
        read, guess = by_title.get(_SOURCES["descriptor"]), by_title.get(_SOURCES["baseline"])
        if read and guess:
            for attribute, ours, theirs in zip(table.attributes, read.cells, guess.cells, strict=True):
                if ours and theirs:
                    unit = attribute.unit.rstrip(" ↑↓")
                    return Lead(attribute.title, read.detail, ours.main, theirs.main, unit, attribute.n)
    return None
