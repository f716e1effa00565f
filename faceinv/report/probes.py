"""The paper's Table 1: what is read from a descriptor, beside guessing and beside looking at the photograph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from faceinv.report import paper
from faceinv.report.values import Interval, interval_of_record

#: The score that stands for an attribute: the first of these that it has, whether as a share, and its decimals.
_MAIN = (("accuracy", True, 1), ("landmark_error", False, 2), ("histogram_emd", False, 2), ("r2", False, 3))
_FURTHER = (("auc", "AUC", 3), ("leakage", "leakage", 2))
_UNITS = {
    "accuracy": "% right ↑",
    "landmark_error": "% interocular ↓",
    "histogram_emd": "EMD, bins ↓",
    "r2": "R² ↑",
}
_SOURCES = {"descriptor": "From the descriptor", "image": "From the image", "baseline": "Always the same guess"}


@dataclass(frozen=True)
class Attribute:
    """A column: an attribute, what is shown of it, and on how many photographs."""

    name: str
    title: str
    unit: str
    n: str


@dataclass(frozen=True)
class Reading:
    """How well an attribute was read.

    Args:
        main: Its score.
        further: (name, score) of the others.
        percent: Whether the score is a share, shown in percent.
    """

    main: Interval
    further: tuple[tuple[str, Interval], ...]
    percent: bool


@dataclass(frozen=True)
class Source:
    """A row: where the attributes were read from."""

    title: str
    detail: str
    cells: tuple[Reading | None, ...]


@dataclass(frozen=True)
class Table1:
    """The table of one data set.

    Args:
        dataset: Its name.
        attributes: The columns.
        sources: The measured rows.
        reported: (row, cells) as the paper prints them.
    """

    dataset: str
    attributes: tuple[Attribute, ...]
    sources: tuple[Source, ...]
    reported: tuple[tuple[str, tuple[str, ...]], ...]


def table_1(records: Sequence[Mapping[str, Any]]) -> tuple[Table1, ...]:
    """Return a table for each data set that probes were scored on."""
    rows = [(record, place, row) for record in records for place, row in enumerate(record.get("rows", ()))]
    datasets = dict.fromkeys(str(row["dataset"]) for _, _, row in rows)
    return tuple(_table(name, [item for item in rows if str(item[2]["dataset"]) == name]) for name in datasets)


def _table(dataset: str, rows: Sequence[tuple[Mapping[str, Any], int, Mapping[str, Any]]]) -> Table1:
    names = list(dict.fromkeys(str(row["attribute"]) for _, _, row in rows))
    order = list(next(iter(paper.TABLE_1.values())))
    names.sort(key=lambda name: order.index(name) if name in order else len(order))
    groups: dict[tuple[str, str, str], dict[str, Reading]] = {}
    mains: dict[str, str] = {}
    for record, place, row in rows:
        attribute, source = str(row["attribute"]), str(row["source"])
        main = next((item for item in _MAIN if item[0] in row["metrics"]), None)
        if main is None:
            continue
        mains[attribute] = main[0]
        # Guessing, and looking at the photograph, need no encoder; where rows name one it is repeated for each.
        encoder = str(row.get("encoder") or "") if source == "descriptor" else ""
        recipe = str(row.get("recipe") or "") if source == "descriptor" else ""
        at = ("rows", place, "metrics")
        reading = Reading(
            interval_of_record(record, main[2], *at, main[0], percent=main[1]),
            tuple(
                (title, interval_of_record(record, digits, *at, name))
                for name, title, digits in _FURTHER
                if name in row["metrics"]
            ),
            main[1],
        )
        groups.setdefault((source, encoder, recipe), {}).setdefault(attribute, reading)
    places = list(_SOURCES)
    # Encoders and recipes stay in the order of the records.
    ordered = sorted(groups.items(), key=lambda item: places.index(item[0][0]) if item[0][0] in places else 9)
    sources = tuple(
        Source(
            _SOURCES.get(source, source),
            ", ".join(part for part in (encoder, recipe and f"recipe {recipe}") if part),
            tuple(cells.get(name) for name in names),
        )
        for (source, encoder, recipe), cells in ordered
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
            " to ".join(str(n) for n in sorted({row["n"] for _, _, row in rows if str(row["attribute"]) == name})),
        )
        for name in names
    )
    return Table1(dataset, attributes, sources, reported)


@dataclass(frozen=True)
class Lead:
    """What a page says first where there is no inversion to speak of.

    Args:
        attribute: Its name.
        encoder: The encoder, and the recipe of the head.
        read: The score of what is read from the descriptor.
        guess: That of always guessing the same.
        unit: What is shown.
        n: On how many photographs.
    """

    attribute: str
    encoder: str
    read: Interval
    guess: Interval
    unit: str
    n: str


def lead(tables: Sequence[Table1]) -> Lead | None:
    """Return the first attribute of the first table, beside guessing."""
    for table in tables:
        by_title = {source.title: source for source in reversed(table.sources)}
        read, guess = by_title.get(_SOURCES["descriptor"]), by_title.get(_SOURCES["baseline"])
        if read and guess:
            for attribute, ours, theirs in zip(table.attributes, read.cells, guess.cells, strict=True):
                if ours and theirs:
                    unit = attribute.unit.rstrip(" ↑↓")
                    return Lead(attribute.title, read.detail, ours.main, theirs.main, unit, attribute.n)
    return None
