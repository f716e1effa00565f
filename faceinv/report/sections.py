"""The sections of the page, from the records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from faceinv.report import charts, paper, wording
from faceinv.report.runs import Column, Study
from faceinv.report.values import Interval, Value, computed, interval_of_record, of_record, pointer
from faceinv.scoring.statistics import FEW, Estimate, paired_difference
from faceinv.storage.columns import base_column

_GROUPS = (
    ("Pixels: the paper's Table 2", ("mse", "mse_paper", "psnr", "ssim")),
    ("Identity", ("id_sim_critic", "id_sim_attacked")),
    ("Appearance and attributes", ()),
)


@dataclass(frozen=True)
class ScoreRow:
    """A metric, for all columns.

    Args:
        metric: Its name in the records.
        name: Its name for readers, with the encoder if it reads one.
        explanation: A short definition, or empty.
        unit: Its unit, or empty.
        arrow: Direction in which it is better.
        cells: One per column; ``None`` if the column lacks it.
        reported: The value as the paper prints it, per column; empty if there is none.
        minor: Whether it is only the baseline of another metric.
    """

    metric: str
    name: str
    explanation: str
    unit: str
    arrow: str
    cells: tuple[Interval | None, ...]
    reported: tuple[str, ...]
    minor: bool = False


@dataclass(frozen=True)
class ScoreGroup:
    """A group of metrics."""

    title: str
    rows: tuple[ScoreRow, ...]


def scores(study: Study) -> tuple[ScoreGroup, ...]:
    """Return all metrics of the study, those of the paper first."""
    left = list(study.metric_names)
    groups = []
    for title, wanted in _GROUPS:
        names = [name for name in left if not wanted or _family(name) in wanted]
        left = [name for name in left if name not in names]
        if wanted:
            names.sort(key=lambda name: wanted.index(_family(name)))
        if names:
            groups.append(ScoreGroup(title, tuple(_score_row(study, name) for name in names)))
    return tuple(groups)


def _family(metric: str) -> str:
    """Return the metric of a column, without the role: ``id_sim_critic`` for the floor of a further critic."""
    return base_column(metric.partition(":")[0])


def _score_row(study: Study, name: str) -> ScoreRow:
    summary = study.metric(name)
    reported = paper.REPORTED.get(name, {})
    minor = wording.is_minor(name)
    return ScoreRow(
        metric=name,
        name=wording.metric_name(name, summary),
        explanation="" if minor else wording.EXPLANATIONS.get(_family(name), ""),
        unit=wording.unit(summary),
        arrow="" if minor else wording.arrow(summary),
        cells=tuple(
            interval_of_record(column.record, wording.digits(name), "metrics", name)
            if name in column.record.metrics
            else None
            for column in study.columns
        ),
        reported=tuple(
            f"{reported[column.losses]:.{paper.TABLE_2_DIGITS}f}" if column.losses in reported else ""
            for column in study.columns
        ),
        minor=minor,
    )


@dataclass(frozen=True)
class Change:
    """A metric of one column minus that of the first, on the same targets.

    Args:
        value: The difference.
        verdict: One of :data:`VERDICTS`.
    """

    value: Interval
    verdict: str


@dataclass(frozen=True)
class ChangeRow:
    """The differences of a metric, for all columns except the first."""

    metric: str
    name: str
    unit: str
    arrow: str
    cells: tuple[Change | None, ...]


def changes(study: Study) -> tuple[ChangeRow, ...]:
    """Return paired differences of every column to the first, target by target."""
    rows = []
    for name in study.metric_names:
        if wording.is_minor(name):
            continue
        summary = study.metric(name)
        cells = tuple(change(study.first, column, name) for column in study.columns[1:])
        if any(cells):
            rows.append(
                ChangeRow(
                    name, wording.metric_name(name, summary), wording.unit(summary), wording.arrow(summary), cells
                )
            )
    return tuple(rows)


def change(reference: Column, column: Column, metric: str) -> Change | None:
    """Return ``column`` minus ``reference`` on their common targets' ``metric``, or ``None`` if either lacks it."""
    summary = column.record.metrics.get(metric)
    lacking = metric not in reference.rows or metric not in column.rows
    if summary is None or lacking or reference.targets != column.targets:
        return None
    difference = paired_difference(column.floats(metric), reference.floats(metric), people=column.people)
    digits = wording.digits(metric)
    return Change(computed(difference, digits, sign=True), verdict(difference, digits, summary.higher_is_better))


#: What can be said of a paired difference, in words.
VERDICTS = {"better": "better", "worse": "worse", "same": "no difference", "few": "too few targets"}


def verdict(difference: Estimate, digits: int, higher_is_better: bool) -> str:
    """Return what can be said of a paired difference, a key of :data:`VERDICTS`.

    ``"same"`` if its interval contains zero, or is shown as nothing but zeros; ``"few"`` if there are too few items, or
    people, for an interval that could be relied on.
    """
    if difference.independent < FEW:
        return "few"
    shown = max(abs(difference.low), abs(difference.high)) >= 0.5 * 10**-digits
    if shown and difference.low > 0:
        return "better" if higher_is_better else "worse"
    if shown and difference.high < 0:
        return "worse" if higher_is_better else "better"
    return "same"


def _floats(values: Sequence[Any]) -> list[float]:
    return [float("nan") if value is None else float(value) for value in values]


def curves(study: Study) -> tuple[tuple[str, Markup], ...]:
    """Return a chart per loss: its mean over the targets at each step, a line per column."""
    names = list(dict.fromkeys(name for column in study.columns for name in column.record.trajectory))
    names.sort(key=lambda name: name == "total")
    drawn = []
    for name in names:
        # A loss that was not finite is null in the record.
        series = [
            charts.Series(label, _floats(column.record.trajectory[name]), f"c{index % 8}")
            for index, (label, column) in enumerate(zip(study.labels, study.columns, strict=True))
            if any(value is not None for value in column.record.trajectory.get(name, ()))
        ]
        if not series:
            continue
        ends = "; ".join(f"{one.name} from {one.values[0]:.3g} to {one.values[-1]:.3g}" for one in series)
        drawn.append((name, charts.curves(series, f"Loss {name} over the steps", ends)))
    return tuple(drawn)


def shares(study: Study) -> tuple[tuple[str, tuple[tuple[Value, Value] | None, ...]], ...]:
    """Return each loss, and per column its weighted share of the objective at the start and at the end.

    Nothing if no column has several losses: the only one is all of the sum.
    """
    names = dict.fromkeys(name for column in study.columns for name in column.record.shares)
    if all(len(column.record.shares) < 2 for column in study.columns):
        return ()
    return tuple((name, tuple(_ends(column, name) for column in study.columns)) for name in names)


def _ends(column: Column, loss: str) -> tuple[Value, Value] | None:
    share = column.record.shares.get(loss)
    if share is None:
        return None
    start, end = (
        Value(wording.percent(value), value, column.id, pointer("shares", loss, key))
        for key, value in (("start", share.start), ("end", share.end))
    )
    return start, end


@dataclass(frozen=True)
class Figure9:
    """Distributions of one encoder's cosines.

    Args:
        role: The encoder's role.
        encoder: Its name.
        title: Its part in the attack.
        chart: The plot.
        legend: (style, name, n, mean) of each distribution.
        reported: Whether the values of the paper are marked.
        thresholds: Whether any threshold is marked.
        notes: Caveats.
    """

    role: str
    encoder: str
    title: str
    chart: Markup
    legend: tuple[tuple[str, str, Value, Value], ...]
    reported: bool
    thresholds: bool
    notes: tuple[str, ...]


#: Distributions of cosines: key in the record, name, and class of the style sheet.
DISTRIBUTIONS = (
    ("impostor", "two originals, two people", "impostor"),
    ("genuine", "two originals, one person", "genuine"),
    ("other", "reconstruction and another photograph of the person", "other"),
    ("leaked", "reconstruction and the leaked image", "leaked"),
)


def figure_9(study: Study) -> tuple[Figure9, ...]:
    """Return the distributions of the column with the most losses, critics first."""
    column = study.fullest
    # The first one is large, the others are side by side.
    return tuple(_figure_9(column, role, 640.0 if not place else 440.0) for place, role in enumerate(roles(column)))


def roles(column: Column) -> list[str]:
    """Return the roles that score, critics first."""
    return sorted(column.record.recognition, key=lambda role: role == "attacked")


def role_title(role: str, column: Column) -> str:
    """Return the part of an encoder in the attack."""
    encoder = column.record.recognition[role].encoder
    if role == "attacked":
        return "the attacked encoder"
    return "the attacked encoder as its own critic" if encoder == column.config.encoder else "unseen critic"


def _figure_9(column: Column, role: str, width: float) -> Figure9:
    block = column.record.recognition[role]
    found = {name: getattr(block.distributions, name) for name, _, _ in DISTRIBUTIONS}
    bins = block.bins
    series = [
        charts.Counted(text, one.histogram, bins.low, bins.high, style)
        for name, text, style in DISTRIBUTIONS
        if (one := found[name])
    ]
    legend = []
    for name, text, style in DISTRIBUTIONS:
        if found[name]:
            at = ("recognition", role, "distributions", name)
            legend.append(
                (style, text, of_record(column.record, 0, *at, "n"), of_record(column.record, 3, *at, "mean"))
            )
    reported = role != "attacked"
    marks = [charts.Mark(value, f"{who} {value:.2f}", "reported") for who, value in paper.FIGURE_9.items()]
    thresholds = [
        charts.Mark(item.threshold, f"accepted from {item.threshold:.2f}", "threshold", fmr_key(item.fmr))
        for item in block.thresholds
        if item.threshold is not None
    ]
    means = "; ".join(
        f"{text}: mean {one.mean:.2f}"
        for name, text, _ in DISTRIBUTIONS
        if (one := found[name]) and one.mean is not None
    )
    return Figure9(
        role=role,
        encoder=block.encoder,
        title=role_title(role, column),
        chart=charts.densities(
            series, marks if reported else (), thresholds, f"cosine on {block.encoder}",
            f"Distributions of cosines on {block.encoder}", means,
            width=width,
        ),
        legend=tuple(legend),
        reported=reported,
        thresholds=bool(thresholds),
        notes=tuple(block.notes),
    )  # fmt: skip


def fmr_key(fmr: float) -> str:
    """Return a false match rate as the records' column names write it, such as ``0.001``."""
    return f"{fmr:g}" if fmr >= 1e-4 else f"{fmr:.10f}".rstrip("0")


def fmr_text(fmr: float) -> str:
    """Return a false match rate in words."""
    return f"1 in {round(1 / fmr):,}".replace(",", " ")
