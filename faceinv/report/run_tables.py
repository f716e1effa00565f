"""The tables of runs: those that the terminal shows, and those that the paper prints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from faceinv.errors import InputError
from faceinv.report import (
    answers,
    leaks,
    paper,
    protections,
    provenance,
    recognition,
    sections,
    table_1,
    transfer,
    wording,
)
from faceinv.report.figures import same_person
from faceinv.report.overlays import Measure
from faceinv.report.runs import Column, Runs, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import of_record
from faceinv.scoring.statistics import FEW

#: Headings of the columns of the paper's Table 2.
_PAPER_HEADINGS = {"id": "ID only", "id,lm": "ID+LMs", "id,lm,hist": "ID+LMs+Hist"}


def exported(runs: Runs, only: Sequence[str] = (), measure: Measure | None = None) -> tuple[Table, ...]:
    """Return the tables that the paper has; those named in ``only``, if any is.

    Args:
        runs: The runs.
        only: Names of tables.
        measure: Measures attributes on pictures, for the table of Figure 7; without it that table is left out.

    Raises:
        InputError: if none of these tables has data.
    """
    found: list[Table] = []
    for study in runs.studies:
        warnings = provenance.warnings(study)
        headings = _paper_headings(study)
        made = [
            scores(study, headings, paper_values=True),
            success(study, headings),
            identification(study, headings),
            cosines(study),
            protections.table(study, runs.probes),
            leaks.table(study, runs.probes),
            answers.table(study),
        ]
        if measure and (not only or "same-person" in only):
            made.append(same_person.table(study, same_person.nearer(study, measure), _where(study), headings))
        config = study.first.config
        about = {"encoder": config.encoder, "generator": config.generator, "dataset": config.dataset}
        found += [replace(table, warnings=warnings, about=about) for table in made]
    found += [transfer.table(matrix) for matrix in transfer.matrices(runs)]
    found += [table_1.printed(table) for table in table_1.tables(runs.probes)]
    kept = tuple(table for table in found if table.lines and (not only or table.name in only))
    if not kept:
        there = ", ".join(dict.fromkeys(table.name for table in found if table.lines)) or "none"
        raise InputError(f"{runs.paths[0]} has no data for {' and '.join(only) or 'any table'}. It has: {there}.")
    return kept


def shown(runs: Runs) -> tuple[Table, ...]:
    """Return the tables that a terminal shows after a run; those without data are left out."""
    found: list[Table] = []
    for study in runs.studies:
        labels = study.labels
        found += [
            replace(scores(study, labels), warnings=provenance.warnings(study)),
            differences(study),
            readers(study),
            shares(study, labels),
            protections.table(study, runs.probes),
            leaks.table(study, runs.probes),
            answers.table(study),
            success(study, labels),
            identification(study, labels),
            encoders(study),
        ]
    found += [transfer.table(matrix) for matrix in transfer.matrices(runs)]
    return tuple(table for table in found if table.lines)


def as_rows(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """Return an object per cell, for ``--json``."""
    rows: list[dict[str, Any]] = []
    for column in columns:
        config, record, content = column.config, column.record, column.record.as_json()
        kept = (
            "metrics",
            "recognition",
            "success",
            "identification",
            "probes",
            "shares",
            "left_out",
            "leak",
            "answers",
            "protection",
        )
        rows.append(
            {
                "encoder": config.encoder,
                "critic": column.critic,
                "critics": config.critics,
                "generator": config.generator,
                "method": config.method,
                "losses": column.losses,
                "objective": config.objective,
                "dataset": config.dataset,
                "seed": config.seed,
                "steps": config.steps,
                "access": record.access,
                "queries": record.queries,
                "image_steps": record.image_steps,
                "image_steps_mean": record.image_steps_mean,
                "n": record.n,
                "real": record.real,
                "id": record.id,
                "warnings": record.warnings,
                **{name: content[name] for name in kept if name in content},
            }
        )
    return rows


def _where(study: Study) -> str:
    config = study.first.config
    lowered = ", steps in bf16" if all(column.precision == "bf16" for column in study.columns) else ""
    methods = {column.config.method for column in study.columns}
    by = f" by {config.method}" if len(methods) == 1 else ""
    return (
        f"{config.encoder} inverted through {config.generator}{by}, "
        f"{wording.of_targets(study.first.record)} ({config.dataset}), critic {study.first.critic}{lowered}"
    )


def _paper_headings(study: Study) -> list[str]:
    return [
        _PAPER_HEADINGS.get(column.losses, label) if label == column.losses else label
        for label, column in zip(study.labels, study.columns, strict=True)
    ]


def scores(study: Study, headings: Sequence[str], *, paper_values: bool = False) -> Table:
    """Return the means of all metrics (Table 2), with the paper's in columns of their own if asked for."""
    rows = [row for group in sections.scores(study) for row in group.rows]
    every = range(len(study.columns)) if paper_values else ()
    places = [place for place in every if any(row.reported[place] for row in rows)]
    lines, last = [], ""
    for row in rows:
        last = last if row.minor else row.name
        # On a terminal a baseline stands below its metric; elsewhere a row must be clear without its neighbours.
        above = last if paper_values else ""
        name = f"{above}{row.name.replace('…', ',' if above else '  ', 1)}" if row.minor else row.name
        measured = tuple(Cell.of_interval(cell) for cell in row.cells)
        reported = tuple(Cell.of_reported(row.reported[place]) for place in places)
        lines.append(Line(name, row.unit, row.arrow, measured + reported))
    note = f" Reported: {paper.SOURCE}, Table 2 and Figure 9 (VGGFace2 through StyleGAN2, MoFA-Test)." if places else ""
    columns = (*headings, *(f"{headings[place]}, reported" for place in places))
    return Table("scores", _where(study), f"Mean [95 % interval].{note}", columns, tuple(lines), corner="metric")


def cosines(study: Study) -> Table:
    """Return Figure 9 in numbers: the mean and the spread of each distribution of cosines, and the paper's means."""
    column = study.fullest
    lines = []
    for role in sections.roles(column):
        block = column.record.recognition[role]
        for name, text, _ in sections.DISTRIBUTIONS:
            at = ("recognition", role, "distributions", name)
            if (found := getattr(block.distributions, name)) is not None and found.n:
                cells = (
                    of_record(column.record, digits, *at, key) for digits, key in ((3, "mean"), (3, "std"), (0, "n"))
                )
                title = f"{block.encoder} ({sections.role_title(role, column)}): {text}"
                lines.append(Line(title, "", "", tuple(map(Cell.of_value, cells))))
    if lines:
        lines += [
            Line(
                f"{who}: reconstruction and the image, reported",
                "",
                "",
                (Cell.of_reported(f"{mean:.2f}"), Cell(), Cell()),
            )
            for who, mean in paper.FIGURE_9.items()
        ]
    note = (
        f"Cosines with {column.losses}. Reported: {paper.SOURCE}, Figure 9, by VGG-Face on MoFA-Test; the last three "
        "methods were given the photograph."
    )
    return Table(
        "cosines", _where(study), note, ("mean", "standard deviation", "pairs"), tuple(lines), corner="cosine by"
    )


def differences(study: Study) -> Table:
    """Return the paired differences of every column to the first."""
    lines = [
        Line(
            row.name,
            row.unit,
            row.arrow,
            tuple(Cell.of_interval(cell.value, style=cell.verdict) if cell else Cell() for cell in row.cells),
        )
        for row in sections.changes(study)
    ]
    title = f"Paired differences on the same targets, minus {study.labels[0]}"
    note = "Mean [95 % interval]. Green is better and red is worse, where the interval is clear of zero."
    if study.first.record.n < FEW:
        note = f"Mean [95 % interval]. Nothing is called better or worse with fewer than {FEW} targets."
    return Table("differences", title, note, study.labels[1:], tuple(lines), corner="metric")


def readers(study: Study) -> Table:
    """Return how well the attributes that losses use are read from descriptors."""
    probes: dict[tuple[str, str], Column] = {}
    for column in study.columns:
        for name, score in column.record.probes.items():
            # Without photographs, all columns of a study learn from the same samples.
            probes.setdefault((name, score.learnt_from if column.record.config.probe_data else ""), column)
    lines = []
    for (name, photographs), column in probes.items():
        found = (of_record(column.record, 2, "probes", name, key) for key in ("descriptor", "baseline"))
        unit = column.record.probes[name].unit
        label = f"probe: {name}" + (f" ({photographs})" if photographs else "")
        lines.append(Line(label, unit, "↓", tuple(map(Cell.of_value, found))))
    columns = ("from the descriptor", "always guessing the mean")
    note = "Mean error on held-out samples of the generator."
    if any(photographs for _, photographs in probes):
        note = f"{note[:-1]}; of probes that learnt from photographs, on held-out photographs of other people."
    return Table("readers", "What the losses read from descriptors", note, columns, tuple(lines))


def shares(study: Study, headings: Sequence[str]) -> Table:
    """Return the weighted share of each loss in the sum, at the start and at the end."""
    lines = [
        Line(name, "", "", tuple(Cell(" → ".join(value.text for value in ends) if ends else "–") for ends in cells))
        for name, cells in sections.shares(study)
    ]
    note = "Of the loss times its weight, over all targets: at the first step → at the last."
    return Table("shares", "Weighted share of each loss in the objective", note, tuple(headings), tuple(lines))


def encoders(study: Study) -> Table:
    """Return how well the judging encoders tell people apart."""
    found = recognition.encoders(study)
    rates = list(dict.fromkeys(rate for encoder in found for rate, _ in encoder.thresholds))
    lines = []
    for encoder in found:
        thresholds = dict(encoder.thresholds)
        cells = [
            Cell.of_value(encoder.eer, "%"),
            Cell.of_interval(encoder.verification, "%"),
            Cell.of_value(encoder.genuine),
            Cell.of_value(encoder.impostor),
            Cell(encoder.source),
        ]
        for rate in rates:
            value = thresholds.get(rate)
            cells.append(Cell("too few pairs") if value is None or value.value is None else Cell.of_value(value))
        lines.append(Line(f"{encoder.name} ({encoder.title})", "", "", tuple(cells)))
    columns = (
        *("equal error rate", "accuracy", "genuine pairs", "impostor pairs", "pairs from"),
        *(f"threshold at FMR {rate}" for rate in rates),
    )
    notes = dict.fromkeys(note for encoder in found for note in encoder.notes)
    title = "How well the encoders tell people apart, through the generator's framing"
    return Table("encoders", title, " ".join(notes), columns, tuple(lines), corner="encoder")


def success(study: Study, headings: Sequence[str]) -> Table:
    """Return the share of reconstructions accepted at each threshold."""
    lines = []
    missing: dict[str, dict[str, list[str]]] = {}
    for table in recognition.success(study):
        for group in table.groups:
            for row in group.rows:
                if not any(row.cells):
                    which = f"FMR {table.fmr}" if group.reason else f"FMR {table.fmr}, type {row.type}"
                    by_row = missing.setdefault(row.reason or "not measured", {})
                    encoders = by_row.setdefault(which, [])
                    encoders += [group.encoder] if group.encoder not in encoders else []
                    continue
                cells = [
                    Cell.of_interval(cell.share, "%", f"{cell.accepted.text}/{cell.n.text}") if cell else Cell()
                    for cell in row.cells
                ]
                name = f"{group.encoder} ({group.title}), FMR {table.fmr}, type {row.type}"
                lines.append(Line(name, "", "", (*cells, Cell.of_value(row.tmr, "%"))))
    note = (
        "Share of reconstructions accepted [95 % Wilson interval]; "
        "type I against the leaked image, type II against another photograph of the person."
    )
    for reason, rows in missing.items():
        of = dict.fromkeys(encoder for encoders in rows.values() for encoder in encoders)
        note += f" Without a row: {'; '.join(rows)} of {' and '.join(of)} ({reason})."
    return Table("success", _where(study), note, (*headings, "Real photographs"), tuple(lines), corner="encoder")


def identification(study: Study, headings: Sequence[str]) -> Table:
    """Return the share of reconstructions whose person is among the first k of a gallery."""
    lines = []
    for group in recognition.identification(study):
        for row in group.rows:
            name = f"{group.encoder} ({group.title}), first {row.rank.text} of {row.size.text}, {row.gallery}"
            cells = [Cell.of_interval(cell, "%") for cell in row.cells]
            lines.append(Line(name, "", "", (*cells, Cell.of_value(row.chance, "%"))))
    note = "Share of reconstructions that find the right person [95 % Wilson interval]."
    return Table("identification", _where(study), note, (*headings, "By chance"), tuple(lines), corner="encoder")
