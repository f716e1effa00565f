"""The schema of the records of ``faceinv probe``: every key of ``probes/<id>.json``, with its unit and range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field

from faceinv.storage.schema import (
    Count,
    Digests,
    Id,
    Interval,
    Model,
    Pair,
    Seconds,
    Share,
    finite,
    read_content,
    validated,
)  # fmt: skip

#: Schema of these records, counted separately from that of cells.
PROBE_SCHEMA = 1


class ProbeRow(Model):
    """How well an attribute is read, from one source."""

    encoder: str | None = None
    """Encoder whose descriptors were read; ``null`` for ``image`` and ``baseline``."""
    precision: str | None = None
    """Precision of the encoder, ``fp32`` or ``bf16``; ``null`` for ``image`` and ``baseline``."""
    attribute: str
    """Name of the attribute; annotations in lower case."""
    source: Literal["descriptor", "image", "baseline"]
    """What was read: the descriptor, the photograph, or nothing."""
    recipe: str | None = None
    """``tuned``, ``paper`` or ``linear``; for an image ``exact`` or the backbone; ``null`` for a baseline."""
    dataset: str
    """Data set, as given."""
    n: Count
    """Test images whose label is known."""
    metrics: dict[str, Interval]
    """Scores, with percentile bootstrap intervals over people."""


class AuditedDataset(Model):
    """The data set of an audit."""

    name: str
    """Name, as given."""
    real: bool
    """Whether its images are photographs."""
    fingerprint: str
    """Hash of its images."""
    images: dict[str, Count]
    """Usable images in each part: ``train``, ``val``, ``test``."""
    people: dict[str, Count] | None
    """People in each part; ``null`` where identities are unknown."""


class AuditedAttribute(Model):
    """An attribute that was read."""

    labelled_by: str
    """Where its labels come from."""
    score: str
    """Its main score."""
    known: dict[str, Count]
    """Images whose label is known, by part."""
    share: Share | None = None
    """Binary attributes only: share of 1s in ``test``."""
    unit: str | None = None
    """Unit of the attribute, if it has one."""


class ProbeRecord(Model):
    """The record of ``faceinv probe`` for one encoder."""

    schema_number: Annotated[Literal[1], Field(alias="schema")]
    """Schema of the record: 1."""
    id: Id
    """Name of the record and of its file: a hash of config, weights, data and code."""
    kind: Literal["probe"] = "probe"
    """``probe``."""
    status: Literal["ok"] = "ok"
    """``ok``."""
    config: dict[str, Any] = {}
    """Encoder, data set, attributes, recipes, detector, limit, seed, image network, precision, compile; what the
    attacker has, where it is not the default: protect, threat, leak, knowledge, surrogate."""
    weights: dict[str, str] = {}
    """SHA-256 of each weights file; hashes of images, annotations and parts."""
    code: dict[str, str] = {}
    """Hash of the code that makes the numbers: the core, and plugins by kind and name."""
    environment: dict[str, str] = {}
    """Versions, by package."""
    dataset: AuditedDataset
    """The data set."""
    attributes: dict[str, AuditedAttribute] = {}
    """The attributes, by name."""
    rows: list[ProbeRow]
    """Scores by attribute, source and recipe; those of image and baseline are repeated in each encoder's record."""
    skipped: list[Pair] = []
    """Images that could not be used: name and reason."""
    seconds: dict[str, Seconds] = {}
    """Time of each step."""
    digests: Digests = {}
    """SHA-256 of the rows, by the name of the file. ``faceinv verify`` compares it."""
    checksum: str = ""
    """SHA-256 of the other keys but ``seconds`` and ``environment``. A record that was edited since is not used."""

    @classmethod
    def of(cls, record_id: str, facts: Mapping[str, Any]) -> Self:
        """Return the record of an audit from what is known of it; numbers that are not finite become ``None``."""
        return cls.model_validate(finite({"schema": PROBE_SCHEMA, "id": record_id, **facts}))


def read_probe(path: Path) -> ProbeRecord:
    """Return the record of an audit.

    Raises:
        ValueError: if the file cannot be read or is not a record; the message is one line without the file's name.
    """
    return validated(ProbeRecord, read_content(path, path.parents[1]), path.stem)
