"""Runs as they lie on disk, made ready for pages, comparisons and exports."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from faceinv.errors import InputError
from faceinv.storage.run_folder import RunFolder

#: Schemas of records that can be shown; older ones lack what came later, and the page says so.
READABLE = (1, 2)
#: The precision of a step that goes without saying.
EXACT = "fp32"

#: What a column is never named by: the losses have their own place, and these are no choice between columns.
_NOT_NAMED = ("losses", "metrics", "encoder", "generator", "dataset", "detector", "limit")


@dataclass(frozen=True)
class Column:
    """A finished cell: one objective on one set of targets.

    Args:
        folder: The run that it lies in.
        record: What is in its JSON file.
        rows: Its values, one a target, by column.
    """

    folder: RunFolder
    record: Mapping[str, Any]
    rows: Mapping[str, Sequence[Any]]

    @property
    def id(self) -> str:
        """The cell's name."""
        return str(self.record["id"])

    @property
    def config(self) -> Mapping[str, Any]:
        """The cell's resolved config."""
        config: Mapping[str, Any] = self.record["config"]
        return config

    @property
    def losses(self) -> str:
        """The losses of its objective, as the command line writes them."""
        return ",".join(self.config["losses"])

    @property
    def targets(self) -> list[str]:
        """The name of each target."""
        return [str(name) for name in self.rows["target"]]

    @property
    def critic(self) -> str:
        """The encoder that judges identity first."""
        config = self.config
        return str(config["critics"][0] if "critics" in config else config["critic"])

    @property
    def precision(self) -> str:
        """That of the networks in a step."""
        return str(self.config.get("precision", EXACT))

    @property
    def self_scored(self) -> bool:
        """Whether the attacked encoder judges its own inversion."""
        return self.critic == str(self.config["encoder"])

    def picture(self, index: int, what: str = "") -> Path | None:
        """Return the file of the reconstruction of target ``index``, of its ``"target"`` or its ``"start"``."""
        # The record of 'faceinv invert' names its files, which lie in the run's own folder.
        files = self.record.get("files")
        stem = self.folder.path / files[index] if files else self.folder.images_folder(self.id) / f"{index:05d}"
        path = stem.with_name(f"{stem.name}{f'-{what}' if what else ''}.png")
        return path if path.is_file() else None


@dataclass(frozen=True)
class Study:
    """Finished cells with the same encoder, generator and targets: they may be compared target by target.

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
        """The cell with the most losses: the one that the headline is about."""
        return max(self.columns, key=lambda column: len(column.config["losses"]))

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """What each column is called: its losses, and whatever else differs between the columns."""
        differing = [
            key
            for key in self.first.config
            if key not in _NOT_NAMED and len({_plain(column.config.get(key)) for column in self.columns}) > 1
        ]
        labels = [
            ", ".join([column.losses, *filter(None, (_named(key, column.config.get(key)) for key in differing))])
            for column in self.columns
        ]
        return tuple(
            f"{label} ({column.id[:6]})" if labels.count(label) > 1 else label
            for label, column in zip(labels, self.columns, strict=True)
        )

    @cached_property
    def metric_names(self) -> tuple[str, ...]:
        """Every metric that any column has, in the order of the records."""
        return tuple(dict.fromkeys(name for column in self.columns for name in column.record["metrics"]))

    def metric(self, name: str) -> Mapping[str, Any]:
        """Return the first summary of the metric ``name``: its unit and direction are every column's."""
        summary: Mapping[str, Any] = next(
            c.record["metrics"][name] for c in self.columns if name in c.record["metrics"]
        )
        return summary


@dataclass(frozen=True)
class Runs:
    """Everything that was found in the folders given.

    Args:
        paths: The folders.
        studies: What was finished, grouped by what may be compared.
        failed: Records of cells that failed.
        probes: Records of probe runs (the paper's Table 1).
        problems: Files that could not be read, each with the reason.
    """

    paths: tuple[Path, ...]
    studies: tuple[Study, ...]
    failed: tuple[Mapping[str, Any], ...] = ()
    probes: tuple[Mapping[str, Any], ...] = ()
    problems: tuple[str, ...] = field(default=())

    @property
    def columns(self) -> Iterator[Column]:
        """Every finished cell."""
        return (column for study in self.studies for column in study.columns)


def read_runs(paths: Sequence[Path]) -> Runs:
    """Read run folders.

    Raises:
        InputError: a folder does not exist, or holds no record.
    """
    columns: dict[str, Column] = {}
    failed: dict[str, Mapping[str, Any]] = {}
    probes: dict[str, Mapping[str, Any]] = {}
    problems: list[str] = []
    for path in paths:
        if not path.is_dir():
            what = "is a file; name the run folder it lies in" if path.exists() else "does not exist"
            raise InputError(f"The run '{path}' {what}.")
        found = 0
        folder = RunFolder(path)
        for record, file in _records(path / "cells", problems):
            found += 1
            name = str(record["id"])
            if record.get("status") != "ok":
                failed[name] = record
            else:
                try:
                    columns[name] = Column(folder, record, folder.rows(name))
                except (OSError, ValueError) as error:
                    problems.append(f"{file.with_suffix('.parquet')}: {error}")
        for record, _ in _records(path / "probes", problems):
            found += 1
            probes[str(record.get("id", len(probes)))] = record
        if not found and not problems:
            raise InputError(f"The folder '{path}' holds no record: 'faceinv bench --out {path}' writes them.")
    if not columns and not failed and not probes:
        raise InputError(f"No record can be read: {'; '.join(problems)}.")
    # A cell that failed in one run may have been finished in another.
    left = tuple(record for name, record in failed.items() if name not in columns)
    return Runs(tuple(paths), _studies(columns.values()), left, tuple(probes.values()), tuple(problems))


def _records(folder: Path, problems: list[str]) -> Iterator[tuple[dict[str, Any], Path]]:
    for file in sorted(folder.glob("*.json")):
        try:
            record = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            problems.append(f"{file}: {error}")
            continue
        if not isinstance(record, dict) or record.get("schema") not in READABLE:
            given = record.get("schema") if isinstance(record, dict) else type(record).__name__
            problems.append(f"{file}: not a record of schema {' or '.join(map(str, READABLE))}, but {given}")
            continue
        yield record, file


def _studies(columns: Any) -> tuple[Study, ...]:
    groups: dict[tuple[str, ...], list[Column]] = {}
    for column in sorted(columns, key=_order):
        config = column.config
        key = (config["encoder"], config["generator"], config["space"], column.record["targets"])
        groups.setdefault(key, []).append(column)
    return tuple(Study(tuple(group)) for group in groups.values())


def _order(column: Column) -> tuple[Any, ...]:
    config = column.config
    return (
        config["encoder"], config["generator"], config["dataset"], config["seed"], config["limit"],
        config["objective"], config["method"], config["steps"], len(config["losses"]), column.losses,
        column.precision != EXACT, bool(config.get("loss_weights")), _plain(config.get("loss_weights")), column.id,
    )  # fmt: skip


def _named(key: str, value: Any) -> str:
    """Return what tells a column by the ``value`` of ``key``; the preset's own weights need no word."""
    if key == "loss_weights":
        return ", ".join(f"{name} {weight:g}" for name, weight in (value or {}).items())
    return f"{key} {_short(value)}"


def _plain(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return " ".join(f"{key}={item}" for key, item in value.items()) or "as declared"
    if isinstance(value, (list, tuple)):
        return "+".join(map(str, value))
    return str(value)


def steered_by(losses: str, own: str) -> bool:
    """Return whether ``own`` losses are these, both as the command line writes them; none given: any are."""
    return not losses or own == losses.replace(" ", "")
