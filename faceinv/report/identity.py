"""What encoders make of people and of reconstructions, as tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from faceinv.bench.runner import Outcome
from faceinv.report.tables import finished_cells, heading, titled


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
    table.caption = (
        "share [95 % Wilson interval]; type I: against the leaked photograph, II: against another one;\n"
        "photographs: share of pairs of the person's own photographs that the same threshold accepts"
    )
    _identity_columns(table, finished)
    table.add_column("photographs", justify="right")
    for key in dict.fromkeys(
        (row["role"], row["encoder"], row["fmr"], row["type"]) for o in finished for row in o.record.get("success", [])
    ):
        found = [_success_row(outcome, key) for outcome in finished]
        if any(row and row["share"] is not None for row in found):
            role, encoder, rate, kind = key
            genuine = dict.fromkeys(_percent(row["tmr"]) for row in found if row)
            cells = [_share(row) for row in found]
            table.add_row(_role(role, encoder, finished), f"type {kind} at FMR {rate:g}", *cells, ", ".join(genuine))
    return table


def _success_row(outcome: Outcome, key: tuple[Any, ...]) -> Mapping[str, Any] | None:
    rows = outcome.record.get("success", [])
    return next((row for row in rows if (row["role"], row["encoder"], row["fmr"], row["type"]) == key), None)


def _identification_table(finished: Sequence[Outcome]) -> Table:
    """Return a row for each encoder and gallery, a column a cell; the ranks stand side by side."""
    table = titled("Identification: the person is among the first k of the gallery")
    _identity_columns(table, finished)
    rows = [(outcome, row) for outcome in finished for row in outcome.record.get("identification", [])]
    ranks = sorted({row["rank"] for _, row in rows})
    table.caption = f"share for k = {', '.join(map(str, ranks))}; the first with its 95 % Wilson interval"
    for key in dict.fromkeys(_identification_key(row) for _, row in rows):
        cells = []
        for outcome in finished:
            found = [row for of, row in rows if of is outcome and _identification_key(row) == key]
            cells.append("; ".join([*map(_share, found[:1]), *(_percent(row["share"]) for row in found[1:])]) or "–")
        role, encoder, gallery, size = key
        photographs = "the leaked photographs" if gallery == "leaked" else "other photographs"
        table.add_row(_role(role, encoder, finished), f"{size} people, {photographs}", *cells)
    return table


def _identification_key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return row["role"], row["encoder"], row["gallery"], row["gallery_size"]


def _identity_columns(table: Table, finished: Sequence[Outcome]) -> None:
    table.add_column("encoder")
    table.add_column("")
    for outcome in finished:
        table.add_column(heading(outcome, finished), justify="right")


def _blocks(finished: Sequence[Outcome]) -> list[Mapping[str, Any]]:
    return [block for outcome in finished for block in outcome.record["recognition"].values()]


def _role(role: str, encoder: str, finished: Sequence[Outcome]) -> str:
    kind = role.partition(":")[0]
    own = kind == "critic" and any(outcome.cell.encoder == encoder for outcome in finished)
    return f"{encoder} ({'attacked, as ' if own else ''}{kind})"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.1f} %"


def _share(row: Mapping[str, Any] | None, key: str = "share") -> str:
    if row is None or row[key] is None:
        return "–"
    return f"{100 * row[key]:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"
