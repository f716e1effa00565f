"""Runs read from disk, for pages, comparisons and exports."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self, TypeVar

from faceinv.errors import InputError
from faceinv.plugins.protections import NONE, written
from faceinv.storage.audit_records import ProbeRecord, read_probe
from faceinv.storage.columns import check_rows
from faceinv.storage.probe_folder import ProbeFolder
from faceinv.storage.records import CellConfig, FailedCell, FinishedCell, read_cell
from faceinv.storage.regular import is_linked
from faceinv.storage.run_folder import RunFolder
from faceinv.storage.schema import MetricSummary
from faceinv.storage.submissions import read_submission

R = TypeVar("R")

#: Precision that is not mentioned.
EXACT = "fp32"

#: What an attacker had of a protected system.
_HAD = ("threat", "issued")
#: Keys that never tell columns apart: losses are shown separately, and the others are not choices between columns.
_NOT_NAMED = ("losses", "metrics", "encoder", "generator", "dataset", "detector", "limit")


@dataclass(frozen=True)
class Column:
    """A finished cell: one objective on one set of targets.

    Args:
        folder: Run folder of the cell.
        record: Its record.
        rows: Its values, one per target, by column.
    """

    folder: RunFolder
    record: FinishedCell
    rows: Mapping[str, Sequence[Any]]

    @property
    def id(self) -> str:
        """The cell's id."""
        return self.record.id

    @property
    def config(self) -> CellConfig:
        """The cell's resolved config."""
        return self.record.config

    @cached_property
    def settings(self) -> dict[str, Any]:
        """The config as it stands in the record, by key; a protection is one text, and without one has no key."""
        config = self.config.as_json()
        name, options, *had = (config.pop(key, None) for key in ("protection", "protection_options", *_HAD))
        return config | ({"protect": written(name, options), **dict(zip(_HAD, had, strict=True))} if name else {})

    @property
    def losses(self) -> str:
        """The losses of its objective, as on the command line."""
        return ",".join(self.config.losses)

    @property
    def targets(self) -> list[str]:
        """The name of each target."""
        return [str(name) for name in self.rows["target"]]

    @property
    def critic(self) -> str:
        """The first critic."""
        return self.config.critics[0]

    @property
    def precision(self) -> str:
        """Precision of the networks in a step."""
        return self.config.precision

    @property
    def self_scored(self) -> bool:
        """Whether the attacked encoder judges its own inversion."""
        return self.critic == self.config.encoder

    @property
    def people(self) -> Sequence[Any] | None:
        """The person in each target, if the data set knows."""
        return self.rows.get("identity")

    def floats(self, name: str) -> list[float]:
        """Return the values of a column of scores, NaN where there is none."""
        return [float("nan") if value is None else float(value) for value in self.rows[name]]

    def picture(self, index: int, what: str = "") -> Path | None:
        """Return the file of target ``index``: its reconstruction, its ``"target"`` or its ``"start"``."""
        # The record of 'faceinv invert' names its files, which lie directly in the run folder.
        files = self.record.files
        stem = self.folder.path / files[index] if files else self.folder.images_folder(self.id) / f"{index:05d}"
        path = stem.with_name(f"{stem.name}{f'-{what}' if what else ''}.png")
        # A link in a run from somebody else could lead to any picture of the reader's.
        return path if path.is_file() and not is_linked(self.folder.path, path) else None


@dataclass(frozen=True)
class Study:
    """Finished cells with the same encoder, generator and targets, which may be compared target by target.

    Args:
        columns: The cells, fewest losses first.
    """

    columns: tuple[Column, ...]

    @property
    def first(self) -> Column:
        """The cell that the others are compared with."""
        return self.columns[0]

    @property
    def fullest(self) -> Column:
        """The cell with the most losses, which the headline is about."""
        return max(self.columns, key=lambda column: len(column.config.losses))

    @cached_property
    def choices(self) -> tuple[tuple[str, ...], ...]:
        """Of each column its losses, and whatever else differs between the columns."""
        differing = [
            key
            for key in dict.fromkeys(key for column in self.columns for key in column.settings)
            if key not in _NOT_NAMED and len({_plain(column.settings.get(key)) for column in self.columns}) > 1
        ]
        settings = {key: [column.settings.get(key) for column in self.columns] for key in differing}
        if "method_options" in settings:
            settings["method_options"] = _own_options(settings["method_options"])
        return tuple(
            (column.losses, *filter(None, (_named(key, values[place]) for key, values in settings.items())))
            for place, column in enumerate(self.columns)
        )

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Label of each column: what tells it from the others."""
        labels = [", ".join(choices) for choices in self.choices]
        return tuple(
            f"{label} ({column.id[:6]})" if labels.count(label) > 1 else label
            for label, column in zip(labels, self.columns, strict=True)
        )

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Every metric of any column, in the order of the records."""
        return tuple(dict.fromkeys(name for column in self.columns for name in column.record.metrics))

    def metric(self, name: str) -> MetricSummary:
        """Return the first summary of a metric; unit and direction are the same in every column."""
        return next(c.record.metrics[name] for c in self.columns if name in c.record.metrics)


@dataclass(frozen=True)
class Runs:
    """The contents of some run folders.

    Args:
        paths: The folders.
        studies: Finished cells, grouped by what may be compared.
        failed: Records of cells that failed.
        probes: Records of ``faceinv probe`` (the paper's Table 1).
        problems: Files that could not be read, each with the reason.
    """

    paths: tuple[Path, ...]
    studies: tuple[Study, ...]
    failed: tuple[FailedCell, ...] = ()
    probes: tuple[ProbeRecord, ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> Iterator[Column]:
        """Every finished cell."""
        return (column for study in self.studies for column in study.columns)

    @property
    def cells(self) -> list[Column]:
        """Every finished cell of ``faceinv bench``; those of ``faceinv invert`` have no data set and no times."""
        return [column for column in self.columns if column.record.kind == "bench"]

    def only(self, ids: Iterable[str]) -> Self:
        """Return the runs without cells other than these."""
        kept = set(ids)
        studies = (tuple(column for column in study.columns if column.id in kept) for study in self.studies)
        failed = tuple(record for record in self.failed if record.id in kept)
        return replace(self, studies=tuple(map(Study, filter(None, studies))), failed=failed)


def read_runs(paths: Sequence[Path]) -> Runs:
    """Read run folders, and submissions, which are runs without pictures.

    A file that is not a record, or does not fit its record, is reported in ``problems``.

    Raises:
        InputError: if a folder does not exist or holds no record, or a file is not a submission.
    """
    columns: dict[str, Column] = {}
    failed: dict[str, FailedCell] = {}
    probes: dict[str, ProbeRecord] = {}
    problems: list[str] = []
    for path in paths:
        if path.is_file():
            for cell in read_submission(path).cells:
                columns[cell.record.id] = Column(RunFolder(path), cell.record, cell.rows)
            continue
        if not path.is_dir():
            raise InputError(f"The run '{path}' does not exist.")
        folder, found = RunFolder(path), 0
        for record in _readable(folder.records, read_cell, problems):
            found += 1
            if isinstance(record, FailedCell):
                failed[record.id] = record
                continue
            try:
                columns[record.id] = Column(folder, record, _rows(folder, record))
            except (OSError, ValueError) as error:
                problems.append(f"{folder.rows_path(record.id)}: {error}")
        for audit in _readable(ProbeFolder(path).records, read_probe, problems):
            found += 1
            probes[audit.id] = audit
        if not found and not problems:
            raise InputError(f"The folder '{path}' holds no record: 'faceinv bench --out {path}' writes them.")
    if not columns and not failed and not probes:
        raise InputError(f"No record can be read: {'; '.join(problems)}.")
    # A cell that failed in one run may be finished in another.
    left = tuple(record for name, record in failed.items() if name not in columns)
    return Runs(tuple(paths), _studies(columns.values()), left, tuple(probes.values()), tuple(problems))


def _readable(folder: Path, read: Callable[[Path], R], problems: list[str]) -> Iterator[R]:
    """Yield the records of a folder, and add those that cannot be read to ``problems``."""
    for file in sorted(folder.glob("*.json")):
        try:
            yield read(file)
        except ValueError as error:
            problems.append(f"{file}: {error}")


def _rows(folder: RunFolder, record: FinishedCell) -> dict[str, list[Any]]:
    """Return the rows of a cell.

    Raises:
        OSError: if the file cannot be read.
        ValueError: if it does not fit the record.
    """
    rows = folder.columns(record.id, record.digests.get(folder.rows_path(record.id).name, ""), record.n)
    check_rows(rows, record.n)
    return rows


def _studies(columns: Iterable[Column]) -> tuple[Study, ...]:
    groups: dict[tuple[str, ...], list[Column]] = {}
    for column in sorted(columns, key=_order):
        config = column.config
        key = (column.record.kind, config.encoder, config.generator, config.space, column.record.targets)
        groups.setdefault(key, []).append(column)
    return tuple(Study(tuple(group)) for group in groups.values())


def _order(column: Column) -> tuple[Any, ...]:
    config = column.config
    return (
        config.encoder, config.generator, config.dataset, config.seed, config.limit,
        bool(config.protection), *_leak_order(config), config.objective, config.method, config.steps,
        len(config.losses), column.losses,
        column.precision != EXACT, bool(config.loss_weights), _plain(config.loss_weights),
        config.protection, _strength(config.protection_options), config.threat, config.issued, column.id,
    )  # fmt: skip


def _strength(options: Mapping[str, Any]) -> tuple[tuple[str, float, str], ...]:
    """Return the place of a protection's options: by number where they have one, else by text."""
    return tuple(
        (key, float(value), "") if isinstance(value, int | float) else (key, 0.0, str(value))
        for key, value in options.items()
    )


def _leak_order(config: CellConfig) -> tuple[Any, ...]:
    """Return the place of what an attacker had: whole descriptors first, then by kind, fewer before more."""
    (leak, few), (knowledge, n) = (_numbered(text) for text in (config.leak, config.knowledge))
    return knowledge, n, leak, few, config.fusion, config.leaked_per_person


def _numbered(text: str) -> tuple[str, int]:
    """Return the kind and the number of ``kind:N``."""
    kind, _, rest = text.partition(":")
    number = rest.partition(":")[0]
    return kind, int(number) if number.isdecimal() else 0


def _named(key: str, value: Any) -> str:
    """Return the part of a label that ``value`` of ``key`` makes.

    The preset's own weights are not mentioned, nor is the budget of a method without steps.
    """
    if key == "steps" and not value:
        return ""
    if key == "protect":
        return str(value or NONE)
    if key == "threat":
        return str(value or "")
    if key == "issued":
        return f"{value} templates" if (value or 1) > 1 else ""
    if key == "leak":
        return str(value or "whole descriptor")
    if key in ("knowledge", "surrogate", "fusion"):
        return f"{key} {value}" if value else ""
    if key == "method_options" and value is None:
        return ""
    if key == "leaked_per_person":
        return f"{value or 1} leaked per person"
    if key == "loss_weights":
        return ", ".join(f"{name} {weight:g}" for name, weight in (value or {}).items())
    return f"{key} {_short(value)}"


def _own_options(options: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any] | None]:
    """Return the options of each cell that not all have alike; ``None`` if it has no others."""
    given = [each or {} for each in options]
    shared = {key for key in given[0] if len({_plain(each.get(key)) for each in given}) == 1}
    own = [{key: value for key, value in each.items() if key not in shared} for each in given]
    return [each or None for each in own] if shared else list(own)


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "as declared"
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return str(value)


def steered_by(losses: str, own: str) -> bool:
    """Return whether ``own`` losses are the ``losses`` asked for, both as on the command line; empty asks for any."""
    return not losses or own == losses.replace(" ", "")
