"""Attributes read from descriptors, by groups of people: from the rows of ``faceinv probe``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from faceinv.data.groups import Grouping
from faceinv.report import wording
from faceinv.report.groups import count_line, difference_cell, grouping_notes, headings, reading_note
from faceinv.report.runs import Runs
from faceinv.report.table import Cell, Line, Table
from faceinv.scoring.bootstrap import Array, Score, auc, leakage, mean_error, r2
from faceinv.scoring.groups import Difference, Groups, holm
from faceinv.scoring.statistics import Estimate
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.probe_folder import ProbeFolder

#: Of each attribute of one number its label by image, and what made the label.
Labels = Mapping[str, tuple[Mapping[str, float], str]]


def probe_tables(
    runs: Runs, record: ProbeRecord, groupings_of: Callable[[Labels], Sequence[Grouping]]
) -> tuple[Table, ...]:
    """Return a table for each grouping of an audit's test photographs.

    Args:
        runs: The runs, in one of whose folders the rows are.
        record: The audit.
        groupings_of: Returns the groups, given the labels that the audit has.
    """
    folder = next(f for f in map(ProbeFolder, runs.paths) if f.record_path(record.id).is_file())
    rows = folder.rows(record.id)
    labels = {
        name: (
            {str(row["image"]): float(row["truth"][0]) for row in rows if row["attribute"] == name},
            described.labelled_by,
        )
        for name, described in record.attributes.items()
        if all(len(row["truth"]) == 1 for row in rows if row["attribute"] == name)
    }
    return tuple(_table(record, rows, grouping) for grouping in groupings_of(labels))


def _table(record: ProbeRecord, rows: Sequence[Mapping[str, Any]], grouping: Grouping) -> Table:
    first = {str(row["image"]): str(row["identity"]) for row in rows}
    groups = Groups(grouping.of(list(first)), list(first.values()))
    lines = [count_line("photographs", groups), count_line("people", groups, of_people=True)]
    scored = [
        item
        for name in record.attributes
        if name != grouping.name
        for item in _scored([row for row in rows if row["attribute"] == name], record, grouping, name)
    ]
    corrected = iter(holm([gap.p for *_, gaps in scored for gap in gaps]))
    for title, means, gaps in scored:
        cells = [Cell.of_estimate(mean, 3) for mean in means]
        lines.append(Line(title, "", "", (*cells, *(difference_cell(gap, next(corrected), 3) for gap in gaps))))
    encoder = str(record.config.get("encoder", ""))
    title = f"By {grouping.name}{' (predicted)' if grouping.predicted else ''}: read from descriptors of {encoder}"
    differences = sum(len(gaps) for *_, gaps in scored)
    note = " ".join((*grouping_notes(grouping, groups, "photographs"), reading_note(differences, groups)))
    return Table("groups", title, note, headings(groups), tuple(lines), corner="score")


def _scored(
    rows: Sequence[Mapping[str, Any]], record: ProbeRecord, grouping: Grouping, name: str
) -> Iterator[tuple[str, list[Estimate], list[Difference]]]:
    """Yield the main score and the leakage of each reading of an attribute, for all groups and each group."""
    by: dict[tuple[str, str | None], list[Mapping[str, Any]]] = {}
    for row in rows:
        by.setdefault((row["source"], row["recipe"]), []).append(row)
    images = [str(row["image"]) for row in next(iter(by.values()))]
    groups = Groups(grouping.of(images), [str(row["identity"]) for row in next(iter(by.values()))])
    main = record.attributes[name].score
    members = {"": groups.everyone} | {group: groups.member(group) for group in groups.kept}
    members |= {f"not {group}": groups.member() & ~groups.member(group) for group in groups.compared}

    def replicates(key: tuple[str, str | None]) -> dict[str, Array]:
        truth, read, score = _material(by[key], main)
        return {group: groups.replicates(member, score, truth, read) for group, member in members.items()}

    found = {key: replicates(key) for key in by}
    guess = next((values for (source, _), values in found.items() if source == "baseline"), None)
    seen = next((values for (source, _), values in found.items() if source == "image"), None)
    for (source, recipe), values in found.items():
        if source != "descriptor":
            continue
        yield f"{name} ({recipe}): {wording.metric_name(main)}", *_compared(groups, members, values)
        if guess and seen:
            leaked = {group: leakage(values[group], guess[group], seen[group]) for group in members}
            yield f"{name} ({recipe}): leakage", *_compared(groups, members, leaked)


def _compared(
    groups: Groups, members: Mapping[str, Any], values: Mapping[str, Array]
) -> tuple[list[Estimate], list[Difference]]:
    means = [groups.estimate(members[group], values[group]) for group in ("", *groups.kept)]
    gaps = [groups.difference(members[""], values[group], values[f"not {group}"]) for group in groups.compared]
    return means, gaps


def _material(rows: Sequence[Mapping[str, Any]], main: str) -> tuple[Array, Array, Score]:
    """Return what the main score of a reading is computed from, and the score."""
    truth = np.array([row["truth"] for row in rows], dtype=np.float64)
    read = np.array([row["read"] for row in rows], dtype=np.float64)
    if main == "auc":
        return truth[:, 0], read[:, 0], auc
    if main == "r2":
        return truth, read, r2
    return np.array([row["error"] for row in rows], dtype=np.float64), np.empty(0), mean_error
