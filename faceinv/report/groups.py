"""Scores by groups of people: for whom is it worse? Computed from the rows of records, so no cell is computed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from faceinv.data.groups import Grouping
from faceinv.report import wording
from faceinv.report.runs import Column, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.scoring.bootstrap import Array
from faceinv.scoring.groups import SMALLEST, Difference, Groups, holm, weighted_mean
from faceinv.scoring.statistics import Estimate
from faceinv.scoring.verification import FALSE_MATCH_RATES, all_pairs, threshold_at
from faceinv.storage.columns import success_column

#: Takes picture files, the generator whose framing they have, and an encoder; returns descriptors ``(N, D)``, or
#: ``None`` if the encoder's weights are not here.
Embed = Callable[[Sequence[Path], str, str], "npt.NDArray[np.float32] | None"]

#: The largest group is called overrepresented if it is this many times as large as the smallest.
_UNEQUAL = 2


@dataclass(frozen=True)
class Score:
    """A score of which every item has a value.

    Args:
        name: For readers.
        unit: Its unit.
        arrow: Direction in which it is better, for the attacker.
        decimals: Decimals shown.
        values: ``(n,)``, NaN where there is none.
        scale: Factor of the values shown: 100 for shares.
    """

    name: str
    unit: str
    arrow: str
    decimals: int
    values: Array
    scale: float = 1.0


def group_tables(study: Study, groupings: Sequence[Grouping], embed: Embed | None = None) -> tuple[Table, ...]:
    """Return a table for each grouping of a study's targets, about the column with the most losses.

    Args:
        study: Cells of ``faceinv bench``; those of ``faceinv invert`` have no people.
        groupings: The groups.
        embed: Embeds the targets for the groups' own thresholds; without it there are none.
    """
    column = study.fullest
    if column.record.kind != "bench":
        return ()
    return tuple(_table(study, column, grouping, embed) for grouping in groupings)


def _table(study: Study, column: Column, grouping: Grouping, embed: Embed | None) -> Table:
    people = [str(name) for name in column.people or column.targets]
    groups = Groups(grouping.of(column.targets), people)
    lines = [count_line("targets", groups), count_line("people", groups, of_people=True)]
    scores = [*_metrics(study, column), *_accepted(column)]
    lines += score_lines(groups, scores)
    lines += list(_own_thresholds(column, groups, embed))
    title = f"By {grouping.name}{' (predicted)' if grouping.predicted else ''}: {column.config.encoder} inverted"
    note = " ".join(
        filter(
            None,
            (*grouping_notes(grouping, groups, "targets"), reading_note(len(scores) * len(groups.compared), groups)),
        )
    )
    return Table("groups", f"{title}, {column.losses}", note, headings(groups), tuple(lines), corner="score")


def headings(groups: Groups) -> tuple[str, ...]:
    """Return the headings of the columns: everyone, each group, and the differences."""
    return ("everyone", *groups.kept, *(f"{name} − {_rest(groups, name)}" for name in groups.compared))


def _rest(groups: Groups, name: str) -> str:
    others = [other for other in groups.kept if other != name]
    return others[0] if len(others) == 1 else "all others"


def count_line(name: str, groups: Groups, *, of_people: bool = False) -> Line:
    """Return the line with the sizes of the groups."""
    members = [groups.everyone, *(groups.member(group) for group in groups.kept)]
    counts = [groups.people(member) if of_people else int(member.sum()) for member in members]
    cells = [Cell(str(count), value=float(count)) for count in counts]
    return Line(name, "", "", (*cells, *(Cell("") for _ in groups.compared)))


def _metrics(study: Study, column: Column) -> Iterator[Score]:
    """Yield the metrics that are no baselines, as in the table of scores."""
    for name in study.metric_names:
        if name in column.record.metrics and name in column.rows and not wording.is_minor(name):
            summary = column.record.metrics[name]
            yield Score(
                wording.metric_name(name, summary),
                wording.unit(summary),
                wording.arrow(summary),
                wording.digits(name),
                np.array(column.floats(name)),
            )


def _accepted(column: Column) -> Iterator[Score]:
    """Yield attack success of type II at the thresholds of everyone."""
    for name in column.rows:
        found = success_column(name)
        if found and found.type == "II":
            encoder = column.record.recognition[found.role].encoder
            title = f"type II by {encoder}, FMR {found.fmr}, everyone's threshold"
            yield Score(title, "%", "↑", 1, np.array(column.floats(name)), 100.0)


def score_lines(groups: Groups, scores: Sequence[Score]) -> list[Line]:
    """Return a line for each score: every group's mean and the differences, corrected together."""
    rows: list[tuple[Score, list[Estimate], list[Difference]]] = []
    for score in scores:
        members = {"": groups.everyone} | {name: groups.member(name) for name in groups.kept}
        of = {
            name: groups.replicates(member, weighted_mean, score.values, score.values)
            for name, member in members.items()
        }
        means = [groups.estimate(members[name] & np.isfinite(score.values), found) for name, found in of.items()]
        gaps = []
        for name in groups.compared:
            rest = groups.member() & ~groups.member(name)
            others = groups.replicates(rest, weighted_mean, score.values, score.values)
            gaps.append(groups.difference(groups.member(), of[name], others))
        rows.append((score, means, gaps))
    corrected = iter(holm([gap.p for _, _, gaps in rows for gap in gaps]))
    return [
        Line(
            score.name,
            score.unit,
            score.arrow,
            (
                *(_cell(mean, score) for mean in means),
                *(difference_cell(gap, next(corrected), score.decimals, score.scale) for gap in gaps),
            ),
        )
        for score, means, gaps in rows
    ]


def _cell(estimate: Estimate, score: Score) -> Cell:
    return Cell.of_estimate(scaled(estimate, score.scale), score.decimals)


def scaled(estimate: Estimate, scale: float) -> Estimate:
    """Return an estimate in another unit."""
    low, high = scale * estimate.low, scale * estimate.high
    return Estimate(scale * estimate.mean, low, high, estimate.n, estimate.people)


def difference_cell(gap: Difference, p: float, decimals: int, scale: float = 1.0) -> Cell:
    """Return a difference, highlighted only if it holds after Holm's correction."""
    found = Cell.of_estimate(scaled(gap.estimate, scale), decimals, signed=True)
    text = f"{found.text} (p {'–' if p != p else '< 0.001' if p < 0.001 else f'{p:.3f}'})"
    return Cell(text, found.interval, found.value, found.low, found.high, "clear" if p < 0.05 else "")


def _own_thresholds(column: Column, groups: Groups, embed: Embed | None) -> Iterator[Line]:
    """Yield type II success at the threshold that each group's own photographs give at a false match rate."""
    files = [column.picture(index, "target") for index in range(column.record.n)]
    there = [file for file in files if file is not None]
    for role, block in column.record.recognition.items():
        name = f"success_cosine_type2:{role}"
        if role == "attacked" or embed is None or name not in column.rows or len(there) < len(files):
            continue
        descriptors = embed(there, column.config.generator, block.encoder)
        if descriptors is None:
            continue
        cosines = np.array(column.floats(name))
        people = _numbered([str(who) for who in column.people or column.targets])
        for fmr in FALSE_MATCH_RATES:
            cells = [_at_own_threshold(groups, group, cosines, descriptors, people, fmr) for group in groups.kept]
            if any(cell.value is not None for cell in cells):
                title = f"type II by {block.encoder}, FMR {fmr:g}, the group's own threshold"
                blank = [Cell("") for _ in groups.compared]
                yield Line(title, "%", "↑", (Cell(""), *cells, *blank))


def _at_own_threshold(
    groups: Groups,
    group: str,
    cosines: Array,
    descriptors: npt.NDArray[np.float32],
    people: npt.NDArray[np.intp],
    fmr: float,
) -> Cell:
    """Return the share of a group's reconstructions that are accepted at the threshold of its own impostor pairs."""
    member = groups.member(group)
    _, impostor = all_pairs(descriptors[member], people[member].tolist())
    threshold = threshold_at(fmr, impostor, np.empty(0))
    if threshold.threshold is None:
        return Cell("too few pairs")
    accepted = np.where(np.isfinite(cosines), (cosines >= threshold.threshold).astype(float), np.nan)
    found = groups.replicates(member, weighted_mean, accepted, accepted)
    share = scaled(groups.estimate(member & np.isfinite(cosines), found), 100.0)
    cell = Cell.of_estimate(share, 1)
    matches = threshold.false_matches
    text = f"{cell.text} (from {threshold.threshold:.3f}, {matches} false match{'' if matches == 1 else 'es'})"
    return Cell(text, cell.interval, cell.value, cell.low, cell.high)


def _numbered(names: Sequence[str]) -> npt.NDArray[np.intp]:
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1]


def grouping_notes(grouping: Grouping, groups: Groups, items: str) -> Iterator[str]:
    """Yield what a reader must know of the groups: their source, who is missing, and how unequal they are."""
    yield f"Groups: {grouping.source}."
    if grouping.predicted:
        yield "The groups are predicted, not known; wrong predictions mix the groups, so true differences are larger."
        yield grouping.error or "How often the prediction is wrong here is not known: no true labels were given."
    if groups.unknown:
        yield f"{groups.unknown} {items} without a known value are left out."
    if groups.small:
        listed = ", ".join(f"{name} ({size})" for name, size in groups.small.items())
        yield f"Left out, being smaller than {SMALLEST}: {listed}."
    sizes = {**groups.kept, **groups.small}
    if len(sizes) > 1 and max(sizes.values()) >= _UNEQUAL * min(sizes.values()):
        most, least = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
        yield (
            f"The {items} are unbalanced: {sizes[most]} in '{most}' and {sizes[least]} in '{least}'. "
            f"Means over everyone are mostly about '{most}'."
        )


def reading_note(differences: int, groups: Groups) -> str:
    """Return how to read the numbers of a table with this many differences."""
    if not groups.kept:
        return f"No group has {SMALLEST} items, so none is scored."
    if not differences:
        return "Mean [95 % interval over people]."
    return (
        "Mean [95 % interval over people]. p: bootstrap over people, by Holm's correction for "
        f"{differences} differences; bold below 0.05."
    )
