"""Provenance of the numbers: configs, weights, versions, times and failures."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from faceinv.report.runs import Runs, Study
from faceinv.report.values import Value, of_record
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.records import FailedCell, FinishedCell

if TYPE_CHECKING:
    from faceinv.plugins.host import Host

_ORIGINS = ("shipped", "trained")


@dataclass(frozen=True)
class Weights:
    """A file that numbers depend on.

    Args:
        name: Its name.
        sha256: Its hash, from the record.
        licence: Its licence, from the installed plugin.
        origin: Who trained it, and on what data.
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
        values: One per column, or a single one if they agree.
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
    """Return every weights file with a hash in a record."""
    hashes: dict[str, str] = {}
    for record in _records(runs):
        hashes |= record.weights
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


def _records(runs: Runs) -> Iterator[FinishedCell | ProbeRecord]:
    yield from (column.record for column in runs.columns)
    yield from runs.probes


def settings(study: Study) -> tuple[Setting, ...]:
    """Return the config, with a value per column for keys that differ."""
    found = []
    for key in dict.fromkeys(key for column in study.columns for key in column.settings):
        values = [_text(column.settings.get(key)) for column in study.columns]
        found.append(Setting(key, (values[0],) if len(set(values)) == 1 else tuple(values)))
    return tuple(found)


def probe_settings(runs: Runs) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
    """Return (record, its config) of each probe run."""
    return tuple(
        (record.id, tuple((key, _text(value)) for key, value in record.config.items())) for record in runs.probes
    )


def times(study: Study) -> tuple[Times, ...]:
    """Return the time of each cell, and its queries of the attacked encoder per target."""
    return tuple(
        Times(
            label,
            column.id,
            tuple(
                (part, of_record(column.record, 1, "seconds", part))
                for part in ("prepare", "invert", "score")
                if getattr(column.record.seconds, part) is not None
            ),
            of_record(column.record, 0, "queries"),
        )
        for label, column in zip(study.labels, study.columns, strict=True)
    )


def learned(study: Study) -> tuple[str, ...]:
    """Return, for each column, which of the parts learned from pairs were shipped, and which were trained."""

    def text(record: FinishedCell) -> str:
        whats = {origin: [what for what, own in record.learned.items() if own == origin] for origin in _ORIGINS}
        told = [f"{origin} ({', '.join(listed)})" for origin, listed in whats.items() if listed]
        return "; ".join(told) if len(told) > 1 else told[0].partition(" (")[0] if told else ""

    return tuple(f"{text(column.record)} {column.record.learned_hash}".strip() for column in study.columns)


def versions(runs: Runs) -> tuple[tuple[str, str], ...]:
    """Return the versions that the numbers were computed with; several if cells differ."""
    found: dict[str, list[str]] = {}
    for record in _records(runs):
        for name, version in record.environment.items():
            known = found.setdefault(name, [])
            if version not in known:
                known.append(version)
    return tuple((name, ", ".join(values)) for name, values in found.items())


def skipped(study: Study) -> tuple[tuple[str, str], ...]:
    """Return the images that could not be used, each with the reason."""
    return tuple(sorted({(name, why) for column in study.columns for name, why in column.record.skipped}))


def left_out(study: Study) -> tuple[tuple[str, str], ...]:
    """Return the scores that could not be computed, each with the reason."""
    return tuple(sorted({item for column in study.columns for item in column.record.left_out.items()}))


def warnings(study: Study) -> tuple[str, ...]:
    """Return the caveats to show wherever the numbers are shown."""
    said = [text for column in study.columns for text in column.record.warnings]
    if not said:
        # Records of older versions have no warnings.
        said = [
            f"'{column.critic}' scores its own inversion: that shows overfitting, not identity."
            for column in study.columns
            if column.self_scored
        ]
    return tuple(dict.fromkeys(said))


def failure(record: FailedCell) -> str:
    """Return a name for a cell that failed."""
    config = record.config
    return f"{','.join(config.losses)} on {config.encoder} ({config.dataset})"


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False)
