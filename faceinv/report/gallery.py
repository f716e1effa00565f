"""The gallery: a row per target, with its start and the reconstruction of each objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceinv.report import overlays, wording
from faceinv.report.headline import row_value
from faceinv.report.overlays import Measure
from faceinv.report.pictures import Pictures
from faceinv.report.runs import Column, Study
from faceinv.report.values import Value
from faceinv.storage.columns import base_column, success_column

#: Kinds of pictures other than the reconstructions.
TARGET, START = "target", "start"


@dataclass(frozen=True)
class Tile:
    """A picture of the gallery.

    Args:
        kind: ``"target"``, ``"start"`` or the number of a column.
        uri: The picture, or nothing if its file is missing.
        alt: Description for screen readers.
        value: Its score, if it is a reconstruction.
    """

    kind: str
    uri: str
    alt: str
    value: Value | None = None


@dataclass(frozen=True)
class Row:
    """All pictures of one target."""

    index: int
    target: str
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Gallery:
    """The rows, and the data for the page's controls.

    Args:
        rows: One per target.
        headings: Headings of the tiles.
        metric: The score shown first.
        data: Scores, acceptance and overlays, for the page's script.
        missing: Reasons why something is not shown.
    """

    rows: tuple[Row, ...]
    headings: tuple[str, ...]
    metric: str
    data: dict[str, Any] = field(repr=False)
    missing: tuple[str, ...] = ()


def picture_files(study: Study) -> list[Path]:
    """Return all picture files that the gallery of ``study`` shows."""
    places = range(len(study.first.targets))
    found = [study.first.picture(index, what) for index in places for what in (TARGET, START)]
    found += [column.picture(index) for index in places for column in study.columns]
    return [path for path in found if path]


def gallery(study: Study, pictures: Pictures, measure: Measure | None) -> Gallery | None:
    """Return the gallery, or ``None`` if there are no pictures."""
    if not picture_files(study):
        return None
    targets = study.first.targets
    metrics = [name for name in study.metric_names if any(name in column.rows for column in study.columns)]
    shown = "id_sim_critic" if "id_sim_critic" in metrics else metrics[0] if metrics else ""
    rows = tuple(
        Row(index, target, tuple(_tiles(study, index, target, shown, pictures))) for index, target in enumerate(targets)
    )
    drawn, missing = _overlays(study, measure)
    data = {
        "columns": list(study.labels),
        "targets": targets,
        "metrics": [
            {
                "name": name,
                "label": _sort_label(study, name),
                "digits": wording.digits(name),
                "higher": study.metric(name).higher_is_better,
                "unit": wording.unit(study.metric(name)),
                "minor": wording.is_minor(name),
                "scores": [list(column.rows.get(name, ())) for column in study.columns],
                "records": [column.id for column in study.columns],
            }
            for name in metrics
        ],
        "success": _success(study),
        "overlays": drawn,
    }
    return Gallery(rows, (TARGET, START, *study.labels), shown, data, tuple(missing))


def _tiles(study: Study, index: int, target: str, metric: str, pictures: Pictures) -> list[Tile]:
    first = study.first
    real = {True: "photograph", False: "sample of the generator", None: "photograph"}[first.record.real]
    tiles = [
        Tile(TARGET, _uri(pictures, first.picture(index, TARGET)), f"Target {target}: the {real} that leaked"),
        Tile(START, _uri(pictures, first.picture(index, START)), f"Start for {target}, regressed from its descriptor"),
    ]
    for place, (label, column) in enumerate(zip(study.labels, study.columns, strict=True)):
        value = row_value(column, metric, index)
        alt = f"Reconstruction of {target} with {label}"
        tiles.append(Tile(str(place), _uri(pictures, column.picture(index)), alt, value))
    return tiles


def _uri(pictures: Pictures, path: Path | None) -> str:
    return pictures.uri(path) if path else ""


def _sort_label(study: Study, name: str) -> str:
    summary = study.metric(name)
    text = wording.metric_name(name, summary)
    if wording.is_minor(name):
        return f"{wording.metric_name(base_column(name), summary)} {text.strip('… ')}"
    return text


def _success(study: Study) -> list[dict[str, Any]]:
    """Return for each encoder, type and rate which reconstructions of each column are accepted."""
    found: dict[str, dict[str, Any]] = {}
    for place, column in enumerate(study.columns):
        for name, values in column.rows.items():
            judged = success_column(name)
            if judged is None:
                continue
            role = judged.role
            judge = column.record.recognition.get(role)
            entry = found.setdefault(
                name,
                {
                    "fmr": judged.fmr,
                    "type": judged.type,
                    "role": role,
                    "encoder": judge.encoder if judge else role,
                    "accepted": [None] * len(study.columns),
                },
            )
            entry["accepted"][place] = [None if value is None or value != value else int(value) for value in values]
    # Critics first, and the easier type before the harder one.
    return sorted(found.values(), key=lambda item: (item["role"] == "attacked", item["role"], item["type"]))


def _overlays(study: Study, measure: Measure | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the overlays by probe: of targets, of reconstructions, and as read from the descriptor."""
    probes = list(dict.fromkeys(name for column in study.columns for name in column.record.probes))
    if not probes or measure is None:
        return [], []
    count = len(study.first.targets)
    sets: list[tuple[str, list[Path | None]]] = [
        (TARGET, [study.first.picture(index, TARGET) for index in range(count)]),
        *(
            (str(place), [column.picture(index) for index in range(count)])
            for place, column in enumerate(study.columns)
        ),
    ]
    whole = [(name, [path for path in paths if path]) for name, paths in sets if all(paths)]
    found: dict[str, dict[str, Any]] = {}
    missing: dict[str, str] = {}
    for name, paths in whole:
        measured = measure(paths, study.first.config.generator, probes)
        missing |= measured.missing
        for probe, values in measured.values.items():
            kind = overlays.kind(values)
            if kind:
                entry = found.setdefault(probe, {"probe": probe, "kind": kind, "shape": values.shape[1:], "of": {}})
                entry["of"][name] = overlays.compact(values)
    for probe, entry in found.items():
        read = _read(study.columns, probe)
        if read is not None and read.shape == (count, *entry["shape"]):
            entry["of"]["read"] = overlays.compact(read)
    return list(found.values()), [f"{name} are not drawn: {reason}" for name, reason in missing.items()]


def _read(columns: Sequence[Column], probe: str) -> Any:
    return next(
        (read for column in columns if (read := column.folder.read_attributes(column.id).get(probe)) is not None), None
    )
