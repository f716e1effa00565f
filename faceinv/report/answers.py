"""Several answers to one descriptor: what they agree on, in a table and in pictures of what is known and guessed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from faceinv.report.contact import ROWS, Strip, write_sheet
from faceinv.report.pictures import Pictures
from faceinv.report.runs import Column, Runs, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import Interval, interval_of_record, of_record

#: Answers shown side by side.
_SHOWN = 4


def _column(study: Study) -> Column | None:
    """Return the column with several answers that has the most losses."""
    several = [column for column in study.columns if column.record.answers]
    return max(several, key=lambda column: len(column.config.losses)) if several else None


def table(study: Study) -> Table:
    """Return a row for each attribute; without lines if every target has a single answer."""
    column = _column(study)
    if column is None or column.record.answers is None:
        return Table("answers", "", "", (), ())
    record, facts = column.record, column.record.answers
    levels = [f"{100 * item.level:.0f} %" for item in facts.calibration[0].ranges] if facts.calibration else []
    inside, scaled = ([f"{what} {level}" for level in levels] for what in ("in range,", "scaled,"))
    columns = ("spread left", *inside, "factor", *scaled)
    lines = []
    for place, item in enumerate(facts.calibration):
        at = ("answers", "calibration", place)
        found = [Cell.of_value(of_record(record, 2, *at, "left"))]
        found += [_share(column, *at, "ranges", k, "inside") for k in range(len(levels))]
        found.append(Cell.of_value(of_record(record, 2, *at, "factor")))
        found += [_share(column, *at, "ranges", k, "scaled") for k in range(len(levels))]
        lines.append(Line(item.attribute, "", "", tuple(found)))
    title = f"How sure: {facts.answers} answers to each descriptor, with {column.losses}"
    return Table("answers", title, _note(column), columns, tuple(lines), corner="attribute")


def _share(column: Column, *at: str | int) -> Cell:
    found = interval_of_record(column.record, 0, *at, percent=True)
    return Cell.of_interval(found, "%") if found.mean.value is not None else Cell()


def _note(column: Column) -> str:
    facts = column.record.answers
    assert facts is not None, "only of cells with several answers"
    low, high = min(facts.cosines), max(facts.cosines)
    equal = (
        f" at one cosine for each target: the lowest that an answer reached (their means: {min(facts.reached):.3f} to "
        f"{max(facts.reached):.3f})"
        if facts.reached
        else ""
    )
    text = (
        f"From different starts, at the same budget each{equal}; mean cosine to what leaked, by answer: "
        f"{low:.3f} to {high:.3f}. Spread left: of one target's answers, as a share of that over targets. In range: "
        "how often the truth, measured on the target's picture by the same probe, lies in the range of its answers "
        "(Student's); it should be as often as the column says. Scaled: after multiplication by the factor that made "
        "the 80 % range of the other half of the people hold."
    )
    for place, row in enumerate(facts.accepted):
        if row.fmr == 0.001:
            share, every = (_percent(column, place, key) for key in ("share", "all"))
            text += f" {row.encoder} at FMR 0.001 accepts {share} of a target's answers, and all of them for {every}."
    return text


def _percent(column: Column, place: int, key: str) -> str:
    found: Interval = interval_of_record(column.record, 0, "answers", "accepted", place, key, percent=True)
    return Cell.of_interval(found, "%").whole


@dataclass(frozen=True)
class Section:
    """The part of the page about several answers.

    Args:
        table: How sure they are.
        headings: One for each picture of a row.
        rows: Name of each shown target, and its pictures as data URIs; empty without pictures.
    """

    table: Table
    headings: tuple[str, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


def section(study: Study, pictures: Pictures | None) -> Section | None:
    """Return the part of the page about a study's answers; ``None`` if every target has a single one."""
    column = _column(study)
    if column is None:
        return None
    shown = strips(column)
    rows = []
    for row in range(min(ROWS, column.record.n)) if pictures else ():
        files = [column.picture(row, what) for _, what in shown]
        if pictures and all(files):
            rows.append((column.targets[row], tuple(pictures.uri(file) for file in files if file)))
    return Section(table(study), tuple(caption for caption, _ in shown), tuple(rows))


def answers_sheet(runs: Runs) -> Path | None:
    """Write ``answers.png`` of the first study with several answers into its run folder, and return its path.

    Each row shows the target, what all answers agree on (their mean), what is guessed (bright where they differ), and
    some of the answers.

    Raises:
        StorageError: if it cannot be written.
    """
    column = next((found for study in runs.studies if (found := _column(study))), None)
    if column is None:
        return None
    rows = range(min(ROWS, column.record.n))
    path = column.folder.path / "answers.png"
    shown = [Strip([caption], [column.picture(row, what) for row in rows]) for caption, what in strips(column)]
    write_sheet(path, shown)
    return path


def strips(column: Column) -> list[tuple[str, str]]:
    """Return caption and suffix of the pictures of a target that say what is known and what is guessed."""
    facts = column.record.answers
    first = "answer1" if facts and facts.reached else ""
    answers = [(f"answer {number}", f"answer{number}" if number > 1 else first) for number in range(1, _SHOWN + 1)]
    known = [("target", "target"), ("all agree on", "mean"), ("bright: guessed", "unsure")]
    return [*known, *answers[: column.config.answers]]
