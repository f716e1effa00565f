"""``--groups``: the groups that scores are compared by, found for the runs of a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from faceinv.bench.config import BenchConfig
    from faceinv.cli.application import Application
    from faceinv.data.groups import Grouping
    from faceinv.models.loader import Loader
    from faceinv.report.runs import Column, Runs
    from faceinv.report.table import Table
    from faceinv.storage.audit_records import ProbeRecord

F = TypeVar("F", bound=Callable[..., Any])

_PREDICTED = "predicted:"

Columns = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Wanted:
    """What ``--groups`` asks for.

    Args:
        names: Columns, or ``predicted:PROBE``.
        file: Labels file of the groups; without one the data set's annotations are used.
    """

    names: tuple[str, ...]
    file: Path | None

    @classmethod
    def taken(cls, groups: str | None, file: Path | None) -> Wanted | None:
        """Return what the options say, or ``None`` if no groups are asked for.

        Raises:
            UsageError: if a name is empty, or there is a file and no groups.
            InputError: if the labels file cannot be read or lacks one of the columns.
        """
        if groups is None:
            if file is not None:
                raise UsageError("--group-labels needs --groups, which names its columns: --groups sex,age.")
            return None
        names = tuple(name.strip() for name in groups.split(","))
        if not all(name.removeprefix(_PREDICTED) for name in names):
            raise UsageError(f"--groups '{groups}' has an empty name. Example: --groups sex,age")
        wanted = cls(tuple(dict.fromkeys(names)), file)
        if file is not None:
            from faceinv.data.groups import columns_of_file, grouping

            columns = columns_of_file(file, ())
            for name in wanted.known:
                grouping(name, columns, "")
        return wanted

    @property
    def known(self) -> tuple[str, ...]:
        """The columns of known values."""
        return tuple(name for name in self.names if not name.startswith(_PREDICTED))

    @property
    def predicted(self) -> tuple[str, ...]:
        """The probes that predict groups."""
        return tuple(name.removeprefix(_PREDICTED) for name in self.names if name.startswith(_PREDICTED))


def group_options(command: F) -> F:
    """Add the options about groups to a command."""
    options = (
        click.option(
            "--groups",
            metavar="A,B,…",
            help="Compare scores between groups: columns of the labels or annotations, or predicted:PROBE.",
        ),
        click.option(
            "--group-labels",
            type=click.Path(path_type=Path),
            metavar="FILE.csv",
            help="File with the groups' columns; by default the data set's annotations.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


class GroupTables:
    """The tables of ``--groups`` of some runs.

    Args:
        app: The command's application.
        wanted: What is asked for.
        loader: Has the networks, if the command has built them already.
    """

    def __init__(self, app: Application, wanted: Wanted, loader: Loader | None = None) -> None:
        from faceinv.cli.measuring import Networks

        self._app, self._wanted = app, wanted
        self._networks = Networks(app, loader)

    def check(self, config: BenchConfig) -> None:
        """Check that the groups of a bench are known, before anything is computed.

        Raises:
            UsageError: if the data set, its labels file or the plugins lack one of them.
            InputError: if the data set or its labels file cannot be read.
        """
        for name in self._wanted.predicted:
            self._app.host.spec("probe", name)
        if self._wanted.file or not self._wanted.known:
            return
        labels = Path(config.labels) if config.labels else None
        for dataset in config.dataset:
            known, source = self._known((), labels, dataset, config.dataset_options)
            for name in self._wanted.known:
                _grouping(name, known, source)

    def of_runs(self, runs: Runs) -> tuple[Table, ...]:
        """Return the tables of all studies and audits.

        Raises:
            UsageError: if a group is not known, or a probe is not one number for each picture.
            InputError: if a picture that a network should look at is missing.
        """
        from faceinv.report.group_probes import probe_tables
        from faceinv.report.groups import group_tables

        tables: list[Table] = []
        for study in runs.studies:
            if study.fullest.record.kind == "bench":
                tables += group_tables(study, self._of_targets(study.fullest), self._networks.embed)
        for record in runs.probes:
            tables += probe_tables(runs, record, partial(self._of_probe, record))
        return tuple(tables)

    def _of_targets(self, column: Column) -> list[Grouping]:
        from faceinv.data.groups import Grouping, banded, column_of_numbers, prediction_error

        config = column.config
        labels = self._wanted.file or (Path(config.labels) if config.labels else None)
        known, source = self._known(column.targets, labels, config.dataset, config.dataset_options)
        found = [_grouping(name, known, source) for name in self._wanted.known]
        for name in self._wanted.predicted:
            numbers, by = self._predicted(column, name)
            values = column_of_numbers(numbers, name)
            truth = next((known[own] for own in known if own.casefold() == name.casefold()), {})
            error = prediction_error(values, truth)
            found.append(Grouping(name, banded(values, name), f"predicted from the pictures by {by}", True, error))
        return found

    def _of_probe(self, record: ProbeRecord, read: Mapping[str, tuple[Mapping[str, float], str]]) -> list[Grouping]:
        """Return the groups of an audit's photographs.

        Args:
            record: The audit.
            read: Of each attribute of one number, its label by image and what made it: ``"annotation"`` or a probe.
        """
        from faceinv.data.groups import Grouping, banded, column_of_numbers, prediction_error

        images = list(dict.fromkeys(image for values, _ in read.values() for image in values))
        found: list[Grouping] = []
        known: dict[str, dict[str, str]] = {
            name: column_of_numbers(values, name) for name, (values, by) in read.items() if by == "annotation"
        }
        source = f"annotations of {record.dataset.name}"
        if self._wanted.file or any(name not in known for name in self._wanted.known):
            options = record.config.get("dataset_options") or {}
            more, source = self._known(images, self._wanted.file, record.dataset.name, options)
            known |= {name: dict(values) for name, values in more.items()}
        found += [_grouping(name, known, source) for name in self._wanted.known]
        for name in self._wanted.predicted:
            if name not in read:
                raise UsageError(
                    f"'{name}' was not measured on the photographs: add it to --attributes of 'faceinv probe', which "
                    f"then has it for --groups predicted:{name}."
                )
            values = column_of_numbers(read[name][0], name)
            error = prediction_error(values, known.get(name, {}))
            source = f"predicted from the photographs by the probe '{read[name][1]}'"
            found.append(Grouping(name, banded(values, name), source, True, error))
        return found

    def _known(
        self, images: Sequence[str], labels: Path | None, dataset: str, options: Mapping[str, Any]
    ) -> tuple[Columns, str]:
        """Return the known columns of images and where they come from."""
        from faceinv.contracts.data import DatasetContext
        from faceinv.data.groups import columns_of_annotations, columns_of_file
        from faceinv.data.opening import open_dataset, parse_dataset

        if labels is not None:
            columns = columns_of_file(labels, images)
            if images and columns and not any(columns.values()):
                raise InputError(
                    f"{labels} has no value for any of the {len(images)} images, such as '{images[0]}'; its column "
                    "'image' must have their names."
                )
            return columns, f"{labels.name}"
        name, _ = parse_dataset(self._app.host, dataset)
        if not self._app.host.spec("dataset", name).real:
            return {}, f"annotations of {dataset}"
        files = self._networks.loader.paths
        opened, _ = open_dataset(self._app.host, dataset, DatasetContext(None, None, "", 0, None), options, files=files)
        return columns_of_annotations(opened), f"annotations of {dataset}"

    def _predicted(self, column: Column, name: str) -> tuple[dict[str, float], str]:
        """Return what a probe measures on each target's picture, and what measures it."""
        self._app.host.spec("probe", name)  # an unknown name is an error of its own
        files = [column.picture(index, "target") for index in range(column.record.n)]
        there = [file for file in files if file is not None]
        if len(there) < len(files):
            raise InputError(
                f"{column.folder.path} lacks {len(files) - len(there)} of {len(files)} pictures of targets, so "
                f"predicted:{name} cannot be measured."
            )
        measured = self._networks.measure(there, column.config.generator, (name,))
        if name in measured.missing:
            raise InputError(f"predicted:{name}: {measured.missing[name]}")
        values = measured.values[name]
        if values[0].size != 1:
            raise UsageError(f"predicted:{name}: groups need one number for each picture, and it has {values[0].size}.")
        return dict(zip(column.targets, values.reshape(-1).tolist(), strict=True)), f"the probe '{name}'"


def _grouping(name: str, known: Columns, source: str) -> Grouping:
    from faceinv.data.groups import grouping

    if not known:
        raise UsageError(
            f"No {source}, so there is no group '{name}'. Give --group-labels FILE.csv with that column, or let a "
            "probe predict groups, as in --groups predicted:male."
        )
    return grouping(name, known, source)
