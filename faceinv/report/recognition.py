"""Attack success and identification: how a face recognition system treats the reconstructions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from faceinv.report import wording
from faceinv.report.runs import Column, Study
from faceinv.report.sections import fmr_key, fmr_text, role_title, roles
from faceinv.report.values import Interval, Value, interval_of_record, of_record
from faceinv.storage.records import FinishedCell

#: The false match rate shown first, if it could be measured.
PREFERRED = "0.001"

_SHARE = ("share", "low", "high")
_ACCURACY = ("accuracy", "low", "high")
_AGAINST = {"I": "against the leaked image", "II": "against another photograph of the person"}
_GALLERY = {"leaked": "the leaked image of each person", "other": "another photograph of each person"}


@dataclass(frozen=True)
class Encoder:
    """How well an encoder tells people apart. If it does so poorly, attack success says little.

    Args:
        role: Its role.
        name: Its name.
        title: Its part in the attack.
        eer: Equal error rate, in percent.
        verification: Accuracy with its interval, in percent, if there is one.
        pairs: Pairs that the accuracy is computed from.
        people: Number of people, or of images that count as people.
        photographs: Number of images.
        source: Source of the pairs.
        genuine: Genuine pairs of photographs.
        impostor: Impostor pairs of photographs.
        thresholds: (false match rate, threshold) of each rate.
        notes: Caveats.
    """

    role: str
    name: str
    title: str
    eer: Value
    verification: Interval | None
    pairs: Value | None
    people: Value
    photographs: Value
    source: str
    genuine: Value
    impostor: Value
    thresholds: tuple[tuple[str, Value], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Accepted:
    """The share of a column's reconstructions that an encoder accepts.

    Args:
        share: In percent, with its interval.
        accepted: Number of reconstructions accepted.
        n: Number of reconstructions compared.
        over_all: Type II only: the share over all other photographs of the person.
    """

    share: Interval
    accepted: Value
    n: Value
    over_all: Interval | None


@dataclass(frozen=True)
class SuccessRow:
    """One type of attack.

    Args:
        type: ``"I"`` or ``"II"``.
        against: What the reconstruction is compared with.
        cells: One per column; ``None`` if there is no number.
        tmr: Share of genuine pairs of photographs accepted, in percent.
        reason: Why there is no number, or empty.
    """

    type: str
    against: str
    cells: tuple[Accepted | None, ...]
    tmr: Value
    reason: str


@dataclass(frozen=True)
class SuccessGroup:
    """One encoder at one false match rate.

    Args:
        encoder: Its name.
        title: Its part in the attack.
        threshold: The cosine from which it accepts.
        reason: Why there is no threshold, or empty.
        note: Caveat if it rests on few false matches.
        rows: One per type.
    """

    encoder: str
    title: str
    threshold: Value
    reason: str
    note: str
    rows: tuple[SuccessRow, ...]


@dataclass(frozen=True)
class SuccessTable:
    """Attack success at one false match rate."""

    fmr: str
    text: str
    groups: tuple[SuccessGroup, ...]

    @property
    def measured(self) -> bool:
        """Whether there is any number."""
        return any(cell for group in self.groups for row in group.rows for cell in row.cells)


def encoders(study: Study) -> tuple[Encoder, ...]:
    """Return how well each scoring encoder tells people apart, critics first."""
    column = study.fullest
    record = column.record
    found = []
    for role in roles(column):
        block = record.recognition[role]
        at = ("recognition", role)
        verification = block.verification
        found.append(
            Encoder(
                role=role,
                name=block.encoder,
                title=role_title(role, column),
                eer=of_record(record, 1, *at, "eer", percent=True),
                verification=interval_of_record(record, 1, *at, "verification", names=_ACCURACY, percent=True)
                if verification
                else None,
                pairs=of_record(record, 0, *at, "verification", "pairs") if verification else None,
                people=of_record(record, 0, *at, "people"),
                photographs=of_record(record, 0, *at, "photographs"),
                source=block.source,
                genuine=_pairs(record, role, "genuine"),
                impostor=_pairs(record, role, "impostor"),
                thresholds=tuple(
                    (fmr_key(item.fmr), of_record(record, 3, *at, "thresholds", place, "threshold"))
                    for place, item in enumerate(block.thresholds)
                ),
                notes=tuple(block.notes),
            )
        )
    return tuple(found)


def _pairs(record: FinishedCell, role: str, kind: str) -> Value:
    if getattr(record.recognition[role].distributions, kind) is None:
        return Value(wording.number(None, 0), None)
    return of_record(record, 0, "recognition", role, "distributions", kind, "n")


def success(study: Study) -> tuple[SuccessTable, ...]:
    """Return a table for each false match rate, the most lenient first; empty if nothing was recorded."""
    column = study.fullest
    rates = sorted({row.fmr for row in column.record.success}, reverse=True)
    return tuple(_table(study, column, rate) for rate in rates)


def preferred(tables: Sequence[SuccessTable]) -> str:
    """Return the rate to show first: 0.001 if it was measured, else the strictest one measured."""
    measured = [table.fmr for table in tables if table.measured]
    if PREFERRED in measured or not tables:
        return PREFERRED
    return measured[-1] if measured else tables[0].fmr


def _table(study: Study, column: Column, rate: float) -> SuccessTable:
    groups = []
    for role in roles(column):
        block = column.record.recognition[role]
        place = next((i for i, item in enumerate(block.thresholds) if item.fmr == rate), None)
        if place is None:
            continue
        item = block.thresholds[place]
        groups.append(
            SuccessGroup(
                encoder=block.encoder,
                title=role_title(role, column),
                threshold=of_record(column.record, 3, "recognition", role, "thresholds", place, "threshold"),
                reason=item.reason or "",
                note=item.note or "",
                rows=tuple(row for kind in _AGAINST if (row := _row(study, column, role, rate, kind))),
            )
        )
    return SuccessTable(fmr_key(rate), fmr_text(rate), tuple(groups))


def _row(study: Study, column: Column, role: str, rate: float, kind: str) -> SuccessRow | None:
    own = _place(column.record, role, rate, kind)
    if own is None:
        return None
    return SuccessRow(
        type=kind,
        against=_AGAINST[kind],
        cells=tuple(_accepted(other.record, _place(other.record, role, rate, kind)) for other in study.columns),
        tmr=of_record(column.record, 0, "success", own, "tmr", percent=True),
        reason=column.record.success[own].reason or "",
    )


def _place(record: FinishedCell, role: str, rate: float, kind: str) -> int | None:
    for index, row in enumerate(record.success):
        if (row.role, row.fmr, row.type) == (role, rate, kind):
            return index
    return None


def _accepted(record: FinishedCell, place: int | None) -> Accepted | None:
    if place is None or record.success[place].share is None:
        return None
    at = ("success", place)
    row = record.success[place]
    over_all = None
    if row.share_all is not None:
        ends = ("share_all", "low_all", "high_all")
        over_all = interval_of_record(record, 0, *at, names=ends, percent=True)
    return Accepted(
        interval_of_record(record, 0, *at, names=_SHARE, percent=True),
        of_record(record, 0, *at, "accepted"),
        of_record(record, 0, *at, "n"),
        over_all,
    )


@dataclass(frozen=True)
class RankRow:
    """The share of reconstructions whose person is among the first in a gallery.

    Args:
        gallery: Content of the gallery.
        size: Number of people in it.
        rank: k of rank-k.
        cells: Share in percent, one per column.
        chance: Share reached by guessing, in percent.
    """

    gallery: str
    size: Value
    rank: Value
    cells: tuple[Interval | None, ...]
    chance: Value


@dataclass(frozen=True)
class RankGroup:
    """Ranks by one encoder."""

    encoder: str
    title: str
    rows: tuple[RankRow, ...]


def identification(study: Study) -> tuple[RankGroup, ...]:
    """Return rank-1 and rank-k of the right person, critics first."""
    column = study.fullest
    groups = []
    for role in roles(column):
        rows = []
        for index, entry in enumerate(column.record.identification):
            if entry.role != role or entry.share is None or entry.rank > entry.gallery_size // 2:
                # Rank 10 of 12 says nothing: chance alone exceeds one half.
                continue
            key = (role, entry.gallery, entry.rank)
            at = ("identification", index)
            rows.append(
                RankRow(
                    gallery=_GALLERY.get(entry.gallery, entry.gallery),
                    size=of_record(column.record, 0, *at, "gallery_size"),
                    rank=of_record(column.record, 0, *at, "rank"),
                    cells=tuple(_ranked(other.record, key) for other in study.columns),
                    chance=of_record(column.record, 1, *at, "chance", percent=True),
                )
            )
        if rows:
            groups.append(RankGroup(column.record.recognition[role].encoder, role_title(role, column), tuple(rows)))
    return tuple(groups)


def _ranked(record: FinishedCell, key: tuple[str, str, int]) -> Interval | None:
    for index, row in enumerate(record.identification):
        if (row.role, row.gallery, row.rank) == key and row.share is not None:
            return interval_of_record(record, 0, "identification", index, names=_SHARE, percent=True)
    return None
