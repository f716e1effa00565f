"""Numbers for a page: the text shown, and the full value of the record."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faceinv.report import wording
from faceinv.scoring.statistics import Estimate
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.records import FinishedCell
from faceinv.storage.schema import Model


@dataclass(frozen=True)
class Value:
    """A number as shown.

    Args:
        text: The text shown.
        value: The number with all its digits; ``None`` if there is none.
        record: Id of its record; empty if it was computed from several.
        pointer: Its place in the record (JSON Pointer, RFC 6901).
    """

    text: str
    value: float | None
    record: str = ""
    pointer: str = ""

    @property
    def full(self) -> str:
        """The number with all its digits, for the data attribute of the page."""
        return "" if self.value is None else repr(self.value)


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, as values.

    Args:
        mean: The mean.
        low: Lower end.
        high: Upper end.
    """

    mean: Value
    low: Value
    high: Value

    @property
    def known(self) -> bool:
        """Whether there is an interval."""
        return self.low.value is not None and self.high.value is not None


def pointer(*keys: object) -> str:
    """Return the JSON Pointer of a path of keys."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def of_record(record: FinishedCell | ProbeRecord, digits: int, *keys: str | int, percent: bool = False) -> Value:
    """Return the number under ``keys`` of ``record``, shown as a dash if there is none."""
    found: Any = record
    for key in keys:
        if found is not None:
            found = getattr(found, str(key)) if isinstance(found, Model) else found[key]
    shown = found * 100 if percent and found is not None else found
    return Value(wording.number(shown, digits), found, record.id, pointer(*keys))


def interval_of_record(
    record: FinishedCell | ProbeRecord,
    digits: int,
    *keys: str | int,
    names: tuple[str, str, str] = ("mean", "low", "high"),
    percent: bool = False,
) -> Interval:
    """Return the interval under ``keys`` of ``record``; ``names`` are the keys of its centre and ends."""
    mean, low, high = (of_record(record, digits, *keys, name, percent=percent) for name in names)
    return Interval(mean, low, high)


def computed(estimate: Estimate, digits: int, sign: bool = False) -> Interval:
    """Return an estimate that was computed from several records."""

    def value(given: float) -> Value:
        return Value(wording.number(given, digits, sign), given if given == given else None)

    return Interval(value(estimate.mean), value(estimate.low), value(estimate.high))
