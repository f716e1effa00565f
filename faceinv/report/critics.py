"""Whether the critics agree: what each further one says of the same reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

from faceinv.report import recognition
from faceinv.report.runs import Column, Study
from faceinv.report.sections import verdict
from faceinv.report.values import Value
from faceinv.scoring.statistics import paired_difference


@dataclass(frozen=True)
class Opinion:
    """A further critic beside the first, at the threshold of each for the same false match rate.

    Args:
        critic: The further critic.
        accepted: The share that it accepts.
        apart: Number of targets that one of the two accepts and the other does not.
        verdict: ``"disagree"`` if the shares differ by more than chance, on the same targets; ``"same"`` if not;
            ``"few"`` if there are too few targets to tell.
    """

    critic: str
    accepted: recognition.Accepted
    apart: Value
    verdict: str


def opinions(study: Study) -> tuple[Opinion, ...]:
    """Return what each further unseen critic says of the column with the most losses; empty if none was asked."""
    column = study.fullest
    tables = {table.fmr: table for table in recognition.success(study)}
    table = tables.get(recognition.preferred(list(tables.values())))
    place = study.columns.index(column)
    found = []
    for group in table.groups if table else ():
        if group.encoder in (column.config.critics[0], column.config.encoder):
            continue
        for row in [row for row in group.rows if row.cells[place]][-1:]:
            accepted = row.cells[place]
            kind = f"success_type{len(row.type)}@{table.fmr}" if table else ""
            apart = _apart(column, f"{kind}:critic", f"{kind}:critic:{group.encoder}")
            if accepted and apart:
                found.append(Opinion(group.encoder, accepted, *apart))
    return tuple(found)


def _apart(column: Column, first: str, second: str) -> tuple[Value, str] | None:
    """Return on how many targets two critics decide differently, and what can be said of their shares."""
    if first not in column.rows or second not in column.rows:
        return None
    one, two = column.floats(first), column.floats(second)
    # With a missing score on either side there is nothing to compare.
    count = sum(abs(a - b) == 1 for a, b in zip(one, two, strict=True))
    said = verdict(paired_difference(two, one), 2, higher_is_better=True)
    return Value(str(count), float(count)), said if said in ("same", "few") else "disagree"
