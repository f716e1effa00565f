"""The top of the page: the attack, and its result in two sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from faceinv.report import recognition, wording
from faceinv.report.leaks import source
from faceinv.report.runs import Column, Study
from faceinv.report.sections import Change, change
from faceinv.report.values import Interval, Value, interval_of_record, pointer

#: Metric of the second sentence if attack success was not recorded: the first of these that was computed.
#: The order is fixed, after the paper's Table 2, so the best result is not picked.
_EFFECTS = ("psnr", "mse", "ssim", "lpips")


@dataclass(frozen=True)
class Finding:
    """The content of the two sentences.

    Args:
        critic: The encoder that judges.
        self_scored: Whether it is the attacked encoder.
        cosine: Cosine of reconstruction and target.
        strangers: Cosine to other people's targets.
        success: Share that the critic accepts at ``fmr``, if it was measured.
        fmr: Text of that false match rate.
        against: What the reconstructions are compared with.
        effect: Change of ``effect_name`` by the further losses, on the same targets.
        effect_name: Name of that metric for readers.
        effect_unit: Its unit.
        reference: The losses that it is compared with.
        source: What faces were rebuilt from, before and after the number of targets.
    """

    critic: str
    self_scored: bool
    cosine: Interval | None
    strangers: Interval | None
    success: recognition.Accepted | None
    fmr: str
    against: str
    effect: Change | None
    effect_name: str
    effect_unit: str
    reference: str
    source: tuple[str, str]


def finding(study: Study) -> Finding:
    """Return the result of the column with the most losses."""
    column = study.fullest
    accepted, fmr, against = _success(study, study.columns.index(column))
    effect, name = _effect(study, column) if accepted is None else (None, "")
    return Finding(
        critic=column.critic,
        self_scored=column.self_scored,
        cosine=_metric(column, "id_sim_critic"),
        strangers=_metric(column, "id_sim_critic_floor"),
        success=accepted,
        fmr=fmr,
        against=against,
        effect=effect,
        effect_name=wording.metric_name(name),
        effect_unit=wording.unit(study.metric(name)) if name else "",
        reference=study.first.losses,
        source=source(column.config),
    )


def _metric(column: Column, name: str) -> Interval | None:
    if name not in column.record.metrics:
        return None
    return interval_of_record(column.record, wording.digits(name), "metrics", name)


def _success(study: Study, place: int) -> tuple[recognition.Accepted | None, str, str]:
    """Return the share that the critic accepts, if possible of another photograph of the person: the harder test."""
    tables = {table.fmr: table for table in recognition.success(study)}
    table = tables.get(recognition.preferred(list(tables.values())))
    if table is None:
        return None, "", ""
    critic = study.fullest.critic
    rows = [row for group in table.groups if group.encoder == critic for row in group.rows if row.cells[place]]
    if not rows:
        return None, "", ""
    return rows[-1].cells[place], table.text, rows[-1].against


def _effect(study: Study, column: Column) -> tuple[Change | None, str]:
    if column is study.first:
        return None, ""
    found = ((changed, name) for name in _EFFECTS if (changed := change(study.first, column, name)))
    return next(found, (None, ""))


@dataclass(frozen=True)
class Shown:
    """A target for the strip at the top.

    Args:
        index: Its position.
        place: Its rank, such as ``"best"``.
        score: Its cosine on the critic.
    """

    index: int
    place: str
    score: Value


def strip(study: Study, count: int = 5) -> tuple[Shown, ...]:
    """Return targets at equal steps from the best to the worst by the critic, so that none is picked by eye."""
    column = study.fullest
    scores: list[Any] = list(column.rows.get("id_sim_critic", ()))
    order = sorted((i for i, score in enumerate(scores) if score is not None), key=lambda i: -scores[i])
    if len(order) < 2:
        return tuple(Shown(index, "", _score(column, index)) for index in range(min(1, len(column.targets))))
    count = min(count, len(order))
    places = [round(step * (len(order) - 1) / (count - 1)) for step in range(count)]
    names = {0: "best", len(order) - 1: "worst"}
    if count % 2:
        names[places[count // 2]] = "median"
    return tuple(Shown(order[place], names.get(place, ""), _score(column, order[place])) for place in places)


def _score(column: Column, index: int) -> Value:
    return row_value(column, "id_sim_critic", index)


def row_value(column: Column, metric: str, index: int) -> Value:
    """Return the score of one target, with its place in the rows of the record."""
    values = column.rows.get(metric)
    value = values[index] if values else None
    if value is not None and value != value:
        value = None
    text = wording.number(value, wording.digits(metric))
    return Value(text, value, column.id, pointer("rows", metric, index))
