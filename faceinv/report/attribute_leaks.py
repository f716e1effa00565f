"""What readers trained on what leaks, or on templates, read of each attribute: records of ``faceinv probe``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from faceinv.contracts.protection_specs import KEY_KNOWN
from faceinv.plugins.protections import written
from faceinv.report.runs import Column
from faceinv.report.table import Cell
from faceinv.report.values import interval_of_record
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.schema import Interval

#: Scores of a reader that a chart can show, the first that an attribute has: name, and how it is written.
_SCORES = (("auc", "AUC"), ("r2", "R²"))


@dataclass(frozen=True)
class Leak:
    """What the best reader of an attribute reads.

    Args:
        record: The record.
        row: Index of its row.
        score: Name of the score, ``auc`` or ``r2``.
        unit: How the score is written.
        value: The score.
        share: The score from 0, no better than a guess, to 1, no error: ``2 AUC − 1``, or R².
    """

    record: ProbeRecord
    row: int
    score: str
    unit: str
    value: Interval
    share: Interval

    @property
    def cell(self) -> Cell:
        """The score as a cell of a table."""
        return Cell.of_interval(interval_of_record(self.record, 3, "rows", self.row, "metrics", self.score))


def leaks(column: Column, probes: Sequence[ProbeRecord]) -> dict[str, Leak]:
    """Return what is read of what leaked in a column, or behind its protection, by attribute.

    Args:
        column: The column.
        probes: Records of audits, of which those of its encoder count that expose it in the same way. An attacker with
            pairs may train readers on the pairs alone, or use the surrogate.
    """
    config = column.config
    text = written(config.protection, config.protection_options) if config.protection else ""
    wanted = (config.encoder, text, config.threat if text else KEY_KNOWN, config.leak, config.knowledge)
    found: dict[str, Leak] = {}
    for record in probes:
        own = record.config
        exposed = (own.get("protect", ""), own.get("threat", KEY_KNOWN), own.get("leak", ""), own.get("knowledge", ""))
        if (own.get("encoder"), *exposed) != wanted or own.get("surrogate", "") not in ("", config.surrogate):
            continue
        for place, row in enumerate(record.rows):
            score = next(((name, unit) for name, unit in _SCORES if name in row.metrics), None)
            if row.source != "descriptor" or score is None:
                continue
            leak = _leak(record, place, *score, row.metrics[score[0]])
            known = found.get(row.attribute)
            if leak and (known is None or (leak.value.mean or 0) > (known.value.mean or 0)):
                found[row.attribute] = leak
    return found


def headings(of_columns: Sequence[Mapping[str, Leak]]) -> dict[str, str]:
    """Return the unit of each attribute that any column has."""
    return {name: leak.unit for found in of_columns for name, leak in found.items()}


def _leak(record: ProbeRecord, row: int, score: str, unit: str, value: Interval) -> Leak | None:
    if value.mean is None:
        return None
    ends = (value.mean, value.low, value.high)
    mean, low, high = (None if end is None else max(0.0, 2 * end - 1 if score == "auc" else end) for end in ends)
    return Leak(record, row, score, unit, value, Interval(mean=mean, low=low, high=high))
