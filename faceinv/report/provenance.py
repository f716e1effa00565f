"""Where the numbers come from: configs, weights, versions, times, and what failed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faceinv.report.runs import Runs, Study
from faceinv.report.values import Value, of_record

if TYPE_CHECKING:
    from faceinv.plugins.host import Host


@dataclass(frozen=True)
class Weights:
    """A file that numbers depend on.

    Args:
        name: Its name.
        sha256: Its hash, as the record has it.
        licence: Its licence, as the installed plugin says it.
        origin: Who trained it, on what.
    """

    name: str
    sha256: str
    licence: str
    origin: str


@dataclass(frozen=True)
class Setting:
    """A key of the config.

    Args:
        key: The key.
        values: One a column, or a single one where they agree.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Times:
    """Seconds of one cell."""

    label: str
    cell: str
    parts: tuple[tuple[str, Value], ...]
    queries: Value


def weights(runs: Runs, host: Host | None) -> tuple[Weights, ...]:
    """Return every file whose hash stands in a record."""
    hashes: dict[str, str] = {}
    for record in (*(column.record for column in runs.columns), *runs.probes):
        hashes |= record.get("weights", {})
    known: dict[str, Any] = {}
    if host is not None:
        known = {spec.name: spec for spec in host.specs("weights")}
    return tuple(
        Weights(
            name,
            value,
            getattr(known.get(name), "licence", ""),
            getattr(known.get(name), "origin", ""),
        )
        for name, value in hashes.items()
    )


def settings(study: Study) -> tuple[Setting, ...]:
    """Return the config, a value for each column only where they differ."""
    found = []
    for key in dict.fromkeys(key for column in study.columns for key in column.config):
        values = [_text(column.config.get(key)) for column in study.columns]
        found.append(Setting(key, (values[0],) if len(set(values)) == 1 else tuple(values)))
    return tuple(found)


def probe_settings(runs: Runs) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return (record, its config) of each probe run."""
    return tuple(
        (str(record.get("id", "")), tuple((key, _text(value)) for key, value in record.get("config", {}).items()))
        for record in runs.probes
    )


def times(study: Study) -> tuple[Times, ...]:
    """Return how long each cell took, and how often it asked the attacked encoder about a target."""
    return tuple(
        Times(
            label,
            column.id,
            tuple(
                (part, of_record(column.record, 1, "seconds", part))
                for part, took in column.record.get("seconds", {}).items()
                if not isinstance(took, list)
            ),
            of_record(column.record, 0, "queries"),
        )
        for label, column in zip(study.labels, study.columns, strict=True)
    )


def versions(runs: Runs) -> tuple[tuple[str, str], ...]:
    """Return the versions that the numbers were computed with; several where cells differ."""
    found: dict[str, list[str]] = {}
    for record in (*(column.record for column in runs.columns), *runs.probes):
        for name, version in record.get("environment", {}).items():
            known = found.setdefault(name, [])
            if str(version) not in known:
                known.append(str(version))
    return tuple((name, ", ".join(values)) for name, values in found.items())


def skipped(study: Study) -> tuple[tuple[str, str], ...]:
    """Return the images that could not be used, each with the reason."""
    return tuple(sorted({(str(name), str(why)) for column in study.columns for name, why in column.record["skipped"]}))


def left_out(study: Study) -> tuple[tuple[str, str], ...]:
    """Return the scores that could not be computed, each with the reason."""
    return tuple(sorted({item for column in study.columns for item in column.record.get("left_out", {}).items()}))


def warnings(study: Study) -> tuple[str, ...]:
    """Return what has to be said wherever the numbers are shown."""
    said = [text for column in study.columns for text in column.record.get("warnings", ())]
    if not said:
        # Records of older versions hold no warnings.
        said = [
            f"'{column.critic}' scores its own inversion: that shows overfitting, not identity."
            for column in study.columns
            if column.self_scored
        ]
    return tuple(dict.fromkeys(said))


def failure(record: Mapping[str, Any]) -> str:
    """Return which cell failed."""
    config = record.get("config", {})
    return f"{','.join(config.get('losses', ()))} on {config.get('encoder', '?')} ({config.get('dataset', '?')})"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)
