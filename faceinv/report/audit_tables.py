"""An audit's rows as tables: the paper's Table 1 with the paper's own figures, and leakage on one axis."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from faceinv.report.paper import TABLE_1

Row = Mapping[str, Any]

#: Score shown of an attribute, the first that it has; how it is written, and what it is.
_SHOWN = {
    "accuracy": ("{:.1%}", "accuracy"),
    "landmark_error": ("{:.2f} %", "% of outer eye corner distance"),
    "histogram_emd": ("{:.2f}", "EMD, bins, R+G+B"),
    "r2": ("{:.2f}", "R²"),
}
_FURTHER = {"balanced_accuracy": "{:.1%}", "auc": "{:.3f}", "r2": "{:.2f}", "leakage": "{:.2f}"}
_OF_A_ROW = ("encoder", "precision", "attribute", "source", "recipe", "dataset")
_SOURCES = ("descriptor", "image", "baseline")

NOTE = (
    "Paper: Li, Smith, Huber 2023, Table 1: CelebA, 188k photographs to train on and 15k to test. Landmark errors "
    "there are a share of an interocular distance that is not defined, here of the outer eye corners'; its histogram "
    "EMD has no unit, and figures on our scale (10 bins, summed over red, green and blue: 0 to 27) are of its size. "
    "Other photographs, labels and networks: compare the way from baseline to image, not the figures."
)


def unique_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows without those of image and baseline that every encoder's record repeats."""
    seen: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        seen.setdefault(tuple(row.get(key) for key in _OF_A_ROW), row)
    return sorted(seen.values(), key=lambda row: _SOURCES.index(row["source"]))


def table_1_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of text: a line for each source, two columns for an attribute that the paper has."""
    attributes = list(dict.fromkeys(row["attribute"] for row in rows))
    in_paper = {name for values in TABLE_1.values() for name in values}
    shown = {name: next(key for key in _SHOWN if any(key in row["metrics"] for row in rows if row["attribute"] == name))
             for name in attributes}  # fmt: skip
    headings = [""]
    for name in attributes:
        headings.append(f"{name} ({_SHOWN[shown[name]][1]})")
        if name in in_paper:
            headings.append("paper")
    lines = []
    for key in _lines(rows):
        own = {row["attribute"]: row for row in rows if _line(row) == key}
        cells = [_title(key)]
        for name in attributes:
            cells.append(
                _interval(own[name]["metrics"].get(shown[name]), _SHOWN[shown[name]][0]) if name in own else ""
            )
            if name in in_paper:
                cells.append(_paper(key, name) if name in own else "")
        lines.append(cells)
    return headings, lines


def detail_cells(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of text: every row of the audit with all its scores."""
    headings = ["attribute", "source", "n", "score", "balanced", "AUC", "R²", "leakage"]
    order = {name: place for place, name in enumerate(dict.fromkeys(row["attribute"] for row in rows))}
    lines = []
    for row in sorted(rows, key=lambda row: order[row["attribute"]]):
        metrics = row["metrics"]
        shown = next((key for key in _SHOWN if key in metrics), "")
        score = _interval(metrics.get(shown), _SHOWN[shown][0]) if shown and shown != "r2" else ""
        further = [_interval(metrics.get(name), form) for name, form in _FURTHER.items()]
        lines.append([row["attribute"], _title(_line(row)), str(row["n"]), score, *further])
    return headings, lines


def rich_table(cells: tuple[list[str], list[list[str]]], title: str) -> Table:
    """Return a table for the terminal."""
    headings, lines = cells
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for place, heading in enumerate(headings):
        table.add_column(heading, no_wrap=place < 2)
    for line in lines:
        table.add_row(*line)
    return table


def as_markdown(cells: tuple[list[str], list[list[str]]]) -> str:
    """Return a Markdown table."""
    headings, lines = cells
    rows = [headings, ["---"] * len(headings), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in rows)


def as_latex(cells: tuple[list[str], list[list[str]]], caption: str) -> str:
    """Return a LaTeX table for the package booktabs."""
    headings, lines = cells
    columns = "l" + "r" * (len(headings) - 1)
    body = [" & ".join(_latex(cell) for cell in row) + r" \\" for row in (headings, *lines)]
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_latex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            body[0],
            r"\midrule",
            *body[1:],
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def as_csv(rows: Sequence[Row]) -> str:
    """Return a line for each row and score: what the row is of, n, metric, mean, low, high."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    keys = (*_OF_A_ROW, "n")
    writer.writerow([*keys, "metric", "mean", "low", "high"])
    for row in rows:
        for name, value in row["metrics"].items():
            writer.writerow([*(row.get(key) for key in keys), name, value["mean"], value["low"], value["high"]])
    return buffer.getvalue()


def _lines(rows: Sequence[Row]) -> list[tuple[str, str, str]]:
    """Return the sources in the paper's order: descriptors, image, baseline. All ways to see an image are one line."""
    return list(dict.fromkeys(_line(row) for row in rows))


def _line(row: Row) -> tuple[str, str, str]:
    if row["source"] == "descriptor":
        lowered = "" if row.get("precision", "fp32") == "fp32" else f" in {row['precision']}"
        return row["source"], f"{row['encoder']}{lowered}", str(row["recipe"])
    return row["source"], "", ""


def _title(line: tuple[str, str, str]) -> str:
    source, encoder, recipe = line
    return f"{encoder}, {recipe}" if source == "descriptor" else {"image": "from image"}.get(source, source)


def _paper(line: tuple[str, str, str], attribute: str) -> str:
    """Return the paper's figure of the network that is nearest to a line: the same loss and data, or nothing."""
    source, encoder, _ = line
    titles = {"image": "From image", "baseline": "Baseline"}
    networks = {"vggface2": "From ID (VGGFace2)", "arcface": "From ID (ArcFace)"}
    title = titles.get(source) or networks.get(encoder.split(".")[0], "")
    return TABLE_1.get(title, {}).get(attribute, "")


def _interval(value: Mapping[str, float | None] | None, form: str) -> str:
    if value is None or value["mean"] is None:
        return ""
    text = form.format(value["mean"])
    if value["low"] is None or value["high"] is None or value["low"] == value["high"]:
        return text
    ends = (form.format(value[end]).removesuffix("%").strip() for end in ("low", "high"))
    return f"{text} [{', '.join(ends)}]"


def _latex(text: str) -> str:
    for plain, escaped in (
        ("\\", r"\textbackslash "),
        ("%", r"\%"),
        ("_", r"\_"),
        ("&", r"\&"),
        ("#", r"\#"),
        ("²", r"$^2$"),
    ):
        text = text.replace(plain, escaped)
    return text
