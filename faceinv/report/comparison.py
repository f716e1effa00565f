"""Comparison of two runs, target by target."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from faceinv.errors import InputError, UsageError
from faceinv.report import provenance, wording
from faceinv.report.pictures import read_picture
from faceinv.report.protections import heading
from faceinv.report.runs import Column, Runs, Study, steered_by
from faceinv.report.sections import VERDICTS, verdict
from faceinv.scoring.statistics import FEW, Estimate, estimate, paired_difference
from faceinv.storage.columns import success_column

#: Keys of the config in which paired cells may differ and still be the same attack.
_NO_CHOICE = ("limit", "metrics", "recognition", "per_person", "min_photographs", "skip")
#: Keys that decide which targets are used.
_TARGETS = ("dataset", "seed", "generator", "space", "detector", "skip", "limit", "per_person", "min_photographs")


@dataclass(frozen=True)
class Row:
    """One score of both cells.

    Args:
        metric: Its name in the records.
        name: Its name for readers.
        unit: Its unit, or nothing.
        higher_is_better: Its direction.
        digits: Decimals shown.
        reference: Mean of the reference over the common targets.
        other: Mean of the other.
        difference: Mean of other − reference over the targets, with its 95 % bootstrap interval.
        spread: Standard deviation of the reference's values over the targets.
        verdict: A key of :data:`faceinv.report.sections.VERDICTS`.
    """

    metric: str
    name: str
    unit: str
    higher_is_better: bool
    digits: int
    reference: Estimate
    other: Estimate
    difference: Estimate
    spread: float
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Two cells on their common targets.

    Args:
        reference: The cell of the first run.
        other: The cell of a further run.
        n: Number of common targets.
        differs: (key, value of the reference, value of the other) for each difference of configs and weights.
        rows: The scores that both cells have.
    """

    reference: Column
    other: Column
    n: int
    differs: tuple[tuple[str, str, str], ...]
    rows: tuple[Row, ...]

    @property
    def names(self) -> tuple[str, str]:
        """Names of the two runs: those of their folders, or the paths if the names are the same."""
        paths = self.reference.folder.path, self.other.folder.path
        ours, theirs = (path.name or str(path) for path in paths)
        return (ours, theirs) if ours != theirs else (str(paths[0]), str(paths[1]))

    @property
    def title(self) -> str:
        """The two runs, their losses and the attacked encoder, with the protection of its descriptors."""
        both = (self.reference, self.other)
        losses = dict.fromkeys(
            f"{column.losses} behind {heading(column)}" if column.record.protection else column.losses
            for column in both
        )
        encoders = {self.reference.settings["encoder"]: None, self.other.settings["encoder"]: None}
        what, whom = (" against ".join(reversed(values)) for values in (losses, encoders))
        return f"{self.names[1]} against {self.names[0]}, {what} on {whom}"

    @property
    def warnings(self) -> tuple[str, ...]:
        """Caveats to show wherever the numbers are shown."""
        return provenance.warnings(Study((self.reference, self.other)))

    @property
    def verdict(self) -> str:
        """The finding in one line."""
        named = {kind: [row.name for row in self.rows if row.verdict == kind] for kind in VERDICTS}
        if len(named["few"]) == len(self.rows):
            return f"{self.title}: too few targets to tell, n = {self.n} and at least {FEW} are needed."
        parts = [f"{kind} on {', '.join(named[kind])}" for kind in ("better", "worse") if named[kind]]
        if named["same"]:
            rest = "every score" if not parts else ", ".join(named["same"])
            parts.append(f"no difference at n = {self.n} on {rest}")
        if named["few"]:
            parts.append(f"too few targets for {', '.join(named['few'])}")
        return f"{self.title}: {'; '.join(parts)}."


def compare(reference: Runs, other: Runs, losses: str = "") -> tuple[Comparison, ...]:
    """Pair the cells of two runs and their common targets.

    Args:
        reference: The run that is subtracted.
        other: The other run.
        losses: Only cells with these losses, if given.

    Raises:
        InputError: if the runs have no finished cell, or different targets; the message says what differs.
        UsageError: if it is ambiguous which cells belong together, or they share no score.
    """
    return tuple(_compared(a, b) for a, b in _pairs(reference, other, losses))


def _pairs(reference: Runs, other: Runs, losses: str) -> list[tuple[Column, Column]]:
    ours, theirs = (_finished(runs, losses) for runs in (reference, other))
    if not {name for column in ours for name in column.targets} & {
        name for column in theirs for name in column.targets
    }:
        # Raised before the question which cells belong together: none of them do.
        _common_targets(ours[0], theirs[0])
    shared = {column.losses for column in ours} & {column.losses for column in theirs}
    if shared:
        ours, theirs = ([column for column in group if column.losses in shared] for group in (ours, theirs))
    keys = [
        key
        for key in dict.fromkeys(key for column in (*ours, *theirs) for key in column.settings)
        if key not in _NO_CHOICE and _values(ours, key) == _values(theirs, key)
    ]
    found = []
    for column in ours:
        own = [repr(column.settings.get(key)) for key in keys]
        same = [[c for c in group if [repr(c.settings.get(key)) for key in keys] == own] for group in (ours, theirs)]
        if len(same[0]) > 1 or len(same[1]) > 1:
            names = ", ".join(sorted({c.losses for group in same for c in group}))
            raise UsageError(
                f"It is ambiguous which cells belong together: {len(same[0])} of {_name(reference)} and "
                f"{len(same[1])} of {_name(other)} agree in everything that the runs share ({names}). Choose "
                "with --losses, or compute what you want to compare in runs of its own."
            )
        found += [(column, match) for match in same[1]]
    if not found:
        raise UsageError(f"No cell of {_name(reference)} has a counterpart in {_name(other)}.")
    return found


def _finished(runs: Runs, losses: str) -> list[Column]:
    columns = runs.cells
    if not columns:
        raise InputError(f"The run '{_name(runs)}' has no finished cell of 'faceinv bench'.")
    if losses:
        have = sorted({column.losses for column in columns})
        columns = [column for column in columns if steered_by(losses, column.losses)]
        if not columns:
            raise UsageError(
                f"The run '{_name(runs)}' has no cell with the losses '{losses}'. It has: {'; '.join(have)}."
            )
    return columns


def _values(columns: Iterable[Column], key: str) -> set[str]:
    return {repr(column.settings.get(key)) for column in columns}


def _name(runs: Runs) -> str:
    return str(runs.paths[0])


def _compared(a: Column, b: Column) -> Comparison:
    pairs = _common_targets(a, b)
    rows = []
    for name in a.rows:
        described = _described(name, a)
        # The description names the encoder: cosines of different critics are not one score.
        if described is None or name not in b.rows or _described(name, b) != described:
            continue
        text, unit, higher, digits = described
        ours, theirs = (
            np.array([column.rows[name][pair[side]] for pair in pairs], dtype=np.float64)
            for side, column in enumerate((a, b))
        )
        both = np.isfinite(ours) & np.isfinite(theirs)
        if not both.any():
            continue
        known = [pair for pair, kept in zip(pairs, both, strict=True) if kept]
        people = a.people and [a.people[index] for index, _ in known]
        difference = paired_difference(theirs[both], ours[both], people=people)
        rows.append(
            Row(
                metric=name,
                name=text,
                unit=unit,
                higher_is_better=higher,
                digits=digits,
                reference=estimate(ours[both], people=people),
                other=estimate(theirs[both], people=people),
                difference=difference,
                spread=float(ours[both].std(ddof=1)) if both.sum() > 1 else 0.0,
                verdict=verdict(difference, digits, higher),
            )
        )
    if not rows:
        raise UsageError(
            f"'{a.folder.path}' and '{b.folder.path}' share no score: the first has {_names(a)}, the other {_names(b)}."
        )
    return Comparison(a, b, len(pairs), _differences(a, b), tuple(rows))


def _names(column: Column) -> str:
    """Return the scores of a cell that can be compared, in words."""
    described = (_described(name, column) for name in column.rows)
    return ", ".join(item[0] for item in described if item) or "none"


def _described(name: str, column: Column) -> tuple[str, str, bool, int] | None:
    """Return (name, unit, higher is better, decimals) of a column of scores; ``None`` if it is not compared."""
    summary = column.record.metrics.get(name)
    if summary is not None:
        if wording.is_minor(name):
            return None
        return (
            wording.metric_name(name, summary),
            wording.unit(summary),
            summary.higher_is_better,
            wording.digits(name),
        )
    judged = success_column(name)
    if judged:
        judge = column.record.recognition.get(judged.role)
        encoder = judge.encoder if judge else judged.role
        return f"Share accepted by {encoder}, type {judged.type}, FMR {judged.fmr}", "", True, 3
    return None


def _common_targets(a: Column, b: Column) -> list[tuple[int, int]]:
    """Return the position of each common target in both cells.

    Raises:
        InputError: if there is none, or if targets of the same name are different pictures.
    """
    if a.record.targets == b.record.targets and a.targets == b.targets:
        return [(index, index) for index in range(len(a.targets))]
    places = {name: index for index, name in enumerate(b.targets)}
    pairs = [(index, places[name]) for index, name in enumerate(a.targets) if name in places]
    if not pairs:
        raise InputError(f"{_refusal(a, b)} they have no target in common: {_target_differences(a, b)}.")
    other = [a.targets[i] for i, j in pairs if _pixels(a.picture(i, "target")) != _pixels(b.picture(j, "target"))]
    if other:
        raise InputError(
            f"{_refusal(a, b)} {len(other)} of the {len(pairs)} targets with the same name are different pictures, "
            f"such as '{other[0]}': {_target_differences(a, b)}."
        )
    return pairs


def _refusal(a: Column, b: Column) -> str:
    return f"'{a.folder.path}' and '{b.folder.path}' have different targets and cannot be paired;"


def _target_differences(a: Column, b: Column) -> str:
    found = [
        f"{key} {a.settings.get(key)} ≠ {b.settings.get(key)}"
        for key in _TARGETS
        # A key that an older record lacks counts as empty or 0.
        if (a.settings.get(key) or 0) != (b.settings.get(key) or 0)
    ]
    return ", ".join(found) or "the files of the data set have changed between the runs"


def _pixels(path: Path | None) -> str:
    """Return a hash of a picture's pixels; one that is missing or damaged equals no other."""
    try:
        image = read_picture(path) if path else None
    except OSError:
        image = None
    if image is None:
        return f"gone {secrets.token_hex(8)}"
    return hashlib.sha256(f"{image.size}".encode() + image.tobytes()).hexdigest()


def _differences(a: Column, b: Column) -> tuple[tuple[str, str, str], ...]:
    found: list[tuple[str, str, str]] = []
    for keys, ours, theirs in (
        (None, a.settings, b.settings),
        ("weights", a.record.weights, b.record.weights),
        ("version", a.record.environment, b.record.environment),
    ):
        found += [
            (f"{keys} of {key}" if keys else key, _text(ours.get(key)), _text(theirs.get(key)))
            for key in dict.fromkeys([*ours, *theirs])
            # A key that an older record lacks is the same as an empty one.
            if ours.get(key) != theirs.get(key) and (ours.get(key) or theirs.get(key))
        ]
    return tuple(found)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    text = str(value)
    return f"{text[:12]}…" if re.fullmatch(r"[0-9a-f]{64}", text) else text


def as_objects(comparisons: Sequence[Comparison]) -> list[dict[str, Any]]:
    """Return the comparisons for ``--json``."""
    return [
        {
            "reference": {"run": str(item.reference.folder.path), "id": item.reference.id},
            "other": {"run": str(item.other.folder.path), "id": item.other.id},
            "losses": {"reference": item.reference.losses, "other": item.other.losses},
            "n": item.n,
            "differs": [{"key": key, "reference": ours, "other": theirs} for key, ours, theirs in item.differs],
            "verdict": item.verdict,
            "warnings": list(item.warnings),
            "metrics": {
                row.metric: {
                    "reference": row.reference.mean,
                    "other": row.other.mean,
                    "difference": row.difference.mean,
                    "low": row.difference.low,
                    "high": row.difference.high,
                    "n": row.difference.n,
                    "unit": row.unit,
                    "higher_is_better": row.higher_is_better,
                    "verdict": row.verdict,
                }
                for row in item.rows
            },
        }
        for item in comparisons
    ]
