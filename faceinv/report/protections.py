"""The table of protections: what each costs in recognition, and what an attack on it brings back."""

from __future__ import annotations

from collections.abc import Sequence

from faceinv.plugins.protections import written
from faceinv.report.attribute_leaks import headings, leaks
from faceinv.report.runs import Column, Study
from faceinv.report.table import Cell, Line, Table
from faceinv.report.values import interval_of_record, of_record
from faceinv.storage.audit_records import ProbeRecord

#: Mark of results under an attack that does not know the scheme.
NOT_ADAPTIVE = "not attacked adaptively"
_NOTE = (
    "Mean [95 % interval] over people. Bytes, time: of one template. TMR, rank 1 and equal error rate: recognition "
    "with templates under one key. Change: paired difference to the same photographs without protection. Recovered "
    "cosine: of the leaked descriptor and the one that the attack finds. Inversion success: share of targets whose "
    "recovered descriptor the protected system accepts for the template and the unprotected system for the person, at "
    "the same false match rate. Dsys: whether templates under different keys can be linked, 0 to 1. Read: the best "
    "reader of an attribute, trained on templates (faceinv probe --protect)."
)


def table(study: Study, probes: Sequence[ProbeRecord] = ()) -> Table:
    """Return the table of a study's protections; without lines if it has none.

    Args:
        study: The study.
        probes: Records of audits; what readers read behind the same protections has columns of its own.
    """
    protected = [column for column in study.columns if column.record.protection]
    read = [leaks(column, probes) for column in protected]
    attributes = headings(read)
    lines = tuple(
        _line(column, [found[name].cell if name in found else Cell() for name in attributes])
        for column, found in zip(protected, read, strict=True)
    )
    columns = (
        *("bytes", "time", "equal error rate", "TMR at FMR 0.001", "change", "rank 1", "recovered cosine"),
        *("inversion success at FMR 0.01", "at FMR 0.001", "Dsys"),
        *(f"{name} read, {unit}" for name, unit in attributes.items()),
        "attack",
    )
    title = f"Protections of {study.first.config.encoder}, and what an attack brings back"
    return Table("protections", title, _NOTE, columns, lines, corner="protection")


def heading(column: Column) -> str:
    """Return a protection and its threat model as they are written on the command line."""
    config = column.config
    several = f", {config.issued} templates" if config.issued > 1 else ""
    return f"{written(config.protection, config.protection_options)}, {config.threat}{several}"


def attack(column: Column) -> str:
    """Return how descriptors were recovered, with the budget, and whether that is the best attack known."""
    block = column.record.protection
    assert block is not None, "only of cells with a protection"
    # A single template goes without saying.
    spent = {unit: number for unit, number in block.budget.items() if (unit, number) != ("templates", 1)}
    budget = ", ".join(f"{number:,} {unit}" for unit, number in spent.items())
    return block.attack + (f" ({budget})" if budget else "") + ("" if block.adaptive else f"; {NOT_ADAPTIVE}")


def _line(column: Column, read: Sequence[Cell]) -> Line:
    record, block = column.record, column.record.protection
    assert block is not None, "only of cells with a protection"
    took = record.seconds.protect
    cells = [
        Cell(f"{block.bytes} of {block.plain_bytes}", value=block.bytes),
        Cell() if took is None else Cell(f"{1000 * took:.2g} ms", value=took),
    ]
    if block.utility is None:
        cells += [Cell()] * 4
    else:
        place = next((k for k, row in enumerate(block.utility.rates) if row.fmr == 1e-3), 0)
        at = ("protection", "utility")
        cells += [
            Cell.of_value(of_record(record, 1, *at, "eer", percent=True), "%"),
            _share(column, *at, "rates", place, "tmr"),
            _share(column, *at, "rates", place, "difference"),
            _share(column, *at, "rank_1"),
        ]
    cells.append(Cell.of_interval(interval_of_record(record, 3, "protection", "cosine")))
    for rate in (1e-2, 1e-3):
        found = next((k for k, row in enumerate(block.irreversibility) if row.fmr == rate), None)
        cells.append(Cell() if found is None else _share(column, "protection", "irreversibility", found, "success"))
    linked = block.unlinkability is not None
    cells.append(
        Cell.of_interval(interval_of_record(record, 2, "protection", "unlinkability", "d_sys")) if linked else Cell()
    )
    return Line(heading(column), "", "", (*cells, *read, Cell(attack(column))))


def _share(column: Column, *at: str | int) -> Cell:
    """Return the share under some keys of the record, in per cent."""
    found = interval_of_record(column.record, 1, *at, percent=True)
    return Cell() if found.mean.value is None else Cell.of_interval(found, "%")
