"""What encoders make of people and of reconstructions, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from faceinv.report.tables import finished_cells, heading, titled
from faceinv.runner import Outcome


def identity_tables(outcomes: Sequence[Outcome]) -> list[Table]:
    """Return how well the encoders tell people apart, and what they make of the reconstructions.

    Tables are left out where no finished cell has anything to show in them.
    """
    finished = finished_cells(outcomes)
    tables = [_recognition_table(finished), _success_table(finished), _identification_table(finished)]
    return [table for table in tables if table.row_count]


def _recognition_table(finished: Sequence[Outcome]) -> Table:
    """Return a row for each encoder and source: a broken pipeline shows here."""
    table = titled("How well the encoders tell people apart, through the generator's frame")
    for name in ("encoder", "photographs of", "pairs: genuine", "impostor", "EER", "accuracy"):
        table.add_column(name)
    rates = sorted({item["fmr"] for block in _blocks(finished) for item in block["thresholds"]}, reverse=True)
    for rate in rates:
        table.add_column(f"threshold at\nFMR {rate:g}", justify="right")
    seen = set()
    for block in _blocks(finished):
        pairs = block["distributions"]
        row = (
            block["encoder"],
            block["source"],
            f"{pairs['genuine']['n']:,}" if pairs["genuine"] else "none known",
            f"{pairs['impostor']['n']:,}" if pairs["impostor"] else "none",
            _percent(block["eer"]),
            _share(block["verification"], "accuracy"),
            *(
                "too few pairs" if item["threshold"] is None else f"{item['threshold']:.3f}"
                for item in block["thresholds"]
            ),
        )
        if row not in seen:
            seen.add(row)
            table.add_row(*row)
    notes = list(dict.fromkeys(note for block in _blocks(finished) for note in block["notes"]))
    table.caption = "\n".join(notes) or None
    return table


def _success_table(finished: Sequence[Outcome]) -> Table:
    """Return a row for each encoder, threshold and type, a column a cell."""
    table = titled("Attack success: share of reconstructions accepted as the person")
    table.caption = "share [95 % Wilson interval]; type I: against the leaked photograph, II: against another one"
    _identity_columns(table, finished)
    for key in dict.fromkeys(
        (row["role"], row["encoder"], row["fmr"], row["type"]) for o in finished for row in o.record.get("success", [])
    ):
        cells = []
        for outcome in finished:
            rows = outcome.record.get("success", [])
            row = next((r for r in rows if (r["role"], r["encoder"], r["fmr"], r["type"]) == key), None)
            cells.append(_share(row))
        if any(cell != "–" for cell in cells):
            role, encoder, rate, kind = key
            table.add_row(_role(role, encoder), f"type {kind} at FMR {rate:g}", *cells)
    return table


def _identification_table(finished: Sequence[Outcome]) -> Table:
    """Return a row for each encoder, gallery and rank, a column a cell."""
    table = titled("Identification: the person is among the first k of the gallery")
    table.caption = "share [95 % Wilson interval]"
    _identity_columns(table, finished)
    rows = [(outcome, row) for outcome in finished for row in outcome.record.get("identification", [])]
    for key in dict.fromkeys(_identification_key(row) for _, row in rows):
        cells = []
        for outcome in finished:
            found = [row for of, row in rows if of is outcome and _identification_key(row) == key]
            cells.append(_share(found[0]) if found else "–")
        role, encoder, gallery, size, rank = key
        photographs = "the leaked photographs" if gallery == "leaked" else "other photographs"
        table.add_row(_role(role, encoder), f"rank {rank} of {size}, {photographs}", *cells)
    return table


def _identification_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["role"], row["encoder"], row["gallery"], row["gallery_size"], row["rank"]


def _identity_columns(table: Table, finished: Sequence[Outcome]) -> None:
    table.add_column("encoder")
    table.add_column("")
    for outcome in finished:
        table.add_column(heading(outcome, finished), justify="right")


def _blocks(finished: Sequence[Outcome]) -> list[Mapping[str, Any]]:
    return [block for outcome in finished for block in outcome.record["recognition"].values()]


def _role(role: str, encoder: str) -> str:
    return f"{encoder} ({role.partition(':')[0]})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _share(row: Mapping[str, Any] | None, key: str = "share") -> str:
    if row is None or row[key] is None:
        return "–"
    return f"{100 * row[key]:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
