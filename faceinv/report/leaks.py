"""What the attacker had, and what it is worth: a table, the points of a chart, and the words of the headline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faceinv.report import recognition
from faceinv.report.attribute_leaks import headings, leaks
from faceinv.report.runs import Column, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import Interval, interval_of_record, of_record
from faceinv.scoring.statistics import paired_difference
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.records import CellConfig

_NOTE = (
    "Answers: numbers, scores or decisions that the system gave away of each descriptor. Cosine: of what is inverted "
    "to the target's own descriptor, on the encoder in the loss. Type II: share of reconstructions that the encoder "
    "accepts as the person, against other photographs, at FMR "
)
_NOTE_OF_CHANGES = " Change: paired difference to whole descriptors, in percentage points."
_NOTE_OF_READERS = " Read: the best reader of an attribute (faceinv probe --leak, --knowledge)."
WHOLE = "whole descriptor"
#: What the attacker had, in a config.
_AXES = ("leak", "knowledge", "surrogate", "leaked_per_person", "fusion")
#: The kinds of leaks in the order of the chart.
_KINDS = {
    "dims": "numbers of the descriptor",
    "bits": "rounded numbers",
    "scores": "scores",
    "decisions": "decisions",
    "pairs": "pairs in place of the encoder",
    "several": "descriptors of one person",
}


#: A share and its 95 % interval, in percent.
Share = tuple[float, float, float]


@dataclass(frozen=True)
class Point:
    """What an attacker had, and how often it was enough.

    Args:
        kind: What kind of leak it is, for readers.
        name: How much of it.
        critic: Share of reconstructions that the critic accepts; ``None`` if it was not measured.
        attacked: The same by the encoder that leaked.
    """

    kind: str
    name: str
    critic: Share | None
    attacked: Share | None


def leak_of(column: Column) -> str:
    """Return what the attacker of a column had, in words of the command line."""
    config = column.config
    parts = [config.leak or WHOLE]
    if config.knowledge:
        parts = [config.knowledge, *([config.leak] if config.leak else [])]
    if config.leaked_per_person > 1:
        parts.append(f"{config.leaked_per_person} of a person ({config.fusion})")
    return ", ".join(parts)


def source(config: CellConfig) -> tuple[str, str]:
    """Return what faces were rebuilt from, as the words before and after the targets in the headline."""
    kind, _, number = config.leak.partition(":")
    n, which = number.split(":")[0], number.partition(":")[2]
    before, after = {
        "dims": (f"{n} numbers ({which}) of each descriptor of", ""),
        "bits": ("descriptors of", f"rounded to {n} bit{'s' if n != '1' else ''} a number"),
        "scores": (f"{n} scores that a system gave for each of", ""),
        "decisions": (f"at most {n} decisions of a system on each of", ""),
    }.get(kind, ("the stored descriptors of" if not config.protection else "the protected templates of", ""))
    details = [after] if after else []
    if config.leaked_per_person > 1:
        details.append(f"with those of {config.leaked_per_person - 1} further photographs of each person")
    if config.knowledge:
        pairs = config.knowledge.partition(":")[2]
        # A record may have been edited.
        known = f"{int(pairs):,} photographs and their descriptors" if pairs.isdecimal() else config.knowledge
        details.append(f"without the encoder, but with {known}")
    if not (config.leak or details or config.protection):
        before = f"nothing but {before}"
    return f"From {before}", "".join(f", {detail}" for detail in details) + ","


def table(study: Study, probes: Sequence[ProbeRecord] = ()) -> Table:
    """Return a row for each column; without lines if every attacker had whole descriptors and the encoder.

    Args:
        study: The study.
        probes: Records of audits; what readers read of the same leaks has columns of its own.
    """
    columns = _ordered(study.columns) if any(column.record.leak for column in study.columns) else []
    fmr = rate(study) if columns else ""
    read = [{} if column.config.leaked_per_person > 1 else leaks(column, probes) for column in columns]
    attributes = headings(read)
    lines = tuple(
        _line(
            column, fmr, _whole(study, column), [found[name].cell if name in found else Cell() for name in attributes]
        )
        for column, found in zip(columns, read, strict=True)
    )
    shown = (
        *("answers", "cosine", f"type II by {study.first.critic}", "change", "by the leaked encoder", "change by it"),
        *(f"{name} read, {unit}" for name, unit in attributes.items()),
        "encoder in the loss",
    )
    title = f"What leaked of {study.first.config.encoder}"
    note = f"{_NOTE}{fmr}.{_NOTE_OF_CHANGES}{_NOTE_OF_READERS if attributes else ''}"
    shares = [
        f"{leak_of(column)} for {100 * column.record.leak.entered:.0f} %"
        for column in columns
        if column.record.leak and column.record.leak.entered is not None
    ]
    if shares:
        note += f" Targets whose system accepted an image before the reconstruction: {', '.join(shares)}."
    return Table("leaks", title, note, shown, lines, corner="leak")


def points(study: Study) -> tuple[Point, ...]:
    """Return what each attacker had, by kind and from little to much; nothing if all had the same."""
    columns = _ordered([column for column in study.columns if column.record.success])
    if len(columns) < 2 or not any(column.record.leak for column in columns):
        return ()
    fmr, several = rate(study), len({column.losses for column in columns}) > 1
    return tuple(
        Point(
            _KINDS.get(_kind(column.config)[0], "everything"),
            f"{leak_of(column)}, {column.losses}" if several else leak_of(column),
            _share(column, "critic", fmr),
            _share(column, "attacked", fmr),
        )
        for column in columns
    )


def _ordered(columns: Sequence[Column]) -> list[Column]:
    """Return columns by kind of leak, each kind from little to much, and whole descriptors last."""
    kinds = list(_KINDS)

    def place(column: Column) -> tuple[int, int]:
        kind, n = _kind(column.config)
        return kinds.index(kind) if kind else len(kinds), n

    return sorted(columns, key=place)


def _share(column: Column, role: str, fmr: str) -> Share | None:
    found = _accepted(column, role, fmr)
    if found is None or found.mean.value is None or found.low.value is None or found.high.value is None:
        return None
    return 100 * found.mean.value, 100 * found.low.value, 100 * found.high.value


def _kind(config: CellConfig) -> tuple[str, int]:
    """Return the kind of leak, empty for whole descriptors and the encoder, and how much there was of it."""
    if config.leaked_per_person > 1:
        return "several", config.leaked_per_person
    if config.knowledge:
        return "pairs", int(config.knowledge.partition(":")[2])
    kind, _, rest = config.leak.partition(":")
    return kind, int(rest.split(":")[0]) if rest else 0


def rate(study: Study) -> str:
    """Return the false match rate of the table and of the points, such as ``0.001``."""
    return recognition.preferred(recognition.success(study))


def _whole(study: Study, column: Column) -> Column | None:
    """Return the column of whole descriptors that another one is compared with: everything else is the same."""
    return next(
        (
            item
            for item in study.columns
            if not item.record.leak and _besides(item) == _besides(column) and item.targets == column.targets
        ),
        None,
    )


def _besides(column: Column) -> dict[str, object]:
    """Return the settings of a column besides what leaked; a surrogate may be missing among the further critics."""
    config = column.config
    return config.model_dump(exclude={*_AXES, "critics"}) | {"critic": config.critics[:1]}


def _line(column: Column, fmr: str, whole: Column | None, read: Sequence[Cell]) -> Line:
    record, leak = column.record, column.record.leak
    cells = (
        Cell.of_value(of_record(record, 0, "leak", "answers")) if leak else Cell(),
        Cell.of_interval(interval_of_record(record, 3, "leak", "cosine")) if leak else Cell("1", value=1.0),
        Cell.of_interval(_accepted(column, "critic", fmr), "%"),
        _change(column, whole, f"success_type2@{fmr}:critic"),
        Cell.of_interval(_accepted(column, "attacked", fmr), "%"),
        _change(column, whole, f"success_type2@{fmr}:attacked"),
        *read,
        Cell(leak.steered_by if leak else column.config.encoder),
    )
    losses = f"{column.losses}: " if len(column.config.losses) > 1 else ""
    return Line(f"{losses}{leak_of(column)}", "", "", cells)


def _change(column: Column, whole: Column | None, name: str) -> Cell:
    """Return by how many percentage points more reconstructions are accepted than of whole descriptors."""
    if whole is None or whole is column or name not in column.rows or name not in whole.rows:
        return Cell()
    own, others = ([100 * value for value in item.floats(name)] for item in (column, whole))
    return Cell.of_estimate(paired_difference(own, others, people=column.people), 0, signed=True)


def _accepted(column: Column, role: str, fmr: str) -> Interval | None:
    for place, row in enumerate(column.record.success):
        if (row.role, row.type) == (role, "II") and f"{row.fmr:g}" == fmr and row.share is not None:
            names = ("share", "low", "high")
            return interval_of_record(column.record, 0, "success", place, names=names, percent=True)
    return None
