"""The keys of records, as tables generated from the schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from faceinv.storage import audit_records as audit, identity_records as identity, records, submissions
from faceinv.storage.schema import MetricSummary, Model

#: Heading of each table, and its model.
TABLES: dict[str, type[Model]] = {
    "The record of a finished cell": records.FinishedCell,
    "The record of a failed cell": records.FailedCell,
    "`config`": records.CellConfig,
    "`metrics`, by column": MetricSummary,
    "`recognition`, by role": identity.Recognition,
    "`verification` of an encoder": identity.Accuracy,
    "`thresholds` of an encoder": identity.Threshold,
    "`bins` of an encoder": identity.Bins,
    "`distributions` of an encoder": identity.Distributions,
    "A distribution": identity.Distribution,
    "`success`": identity.SuccessRow,
    "`identification`": identity.IdentificationRow,
    "`probes`, by probe": records.ProbeScore,
    "`shares`, by loss": records.LossShare,
    "`seconds`": records.CellSeconds,
    "`parent`": records.Parent,
    "A submission": submissions.Submission,
    "`cells` of a submission": submissions.SubmittedCell,
    "The record of `faceinv probe`": audit.ProbeRecord,
    "`rows` of `faceinv probe`": audit.ProbeRow,
    "`dataset` of `faceinv probe`": audit.AuditedDataset,
    "`attributes` of `faceinv probe`, by name": audit.AuditedAttribute,
}
_TYPES = {"integer": "integer", "number": "number", "string": "text", "boolean": "true or false", "null": "null"}
#: Bounds beyond this one only keep arithmetic from overflowing.
_TELLING = 1e6


def record_keys() -> str:
    """Return a table per model: its keys, their types with the range, and their meanings."""
    parts = []
    for heading, model in TABLES.items():
        types = model.model_json_schema()["properties"]
        rows = ["| key | type | meaning |", "| --- | --- | --- |"]
        for name, field in model.model_fields.items():
            key = field.alias or name
            if model is records.FailedCell and name in records.CellRecord.model_fields:
                continue
            description = (field.description or "").replace("``", "`").replace("\n", " ").replace("|", "\\|")
            rows.append(f"| `{key}` | {_type(types[key])} | {description} |")
        parts += [f"### {heading}", (model.__doc__ or "").replace("``", "`"), "\n".join(rows)]
    return "\n\n".join(parts) + "\n"


def _type(schema: Mapping[str, Any]) -> str:
    """Return a type of a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "$ref" in schema:
        return "mapping"
    if "const" in schema or "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        return f"mapping to {_type(values)}" if isinstance(values, dict) else "mapping"
    return f"{_TYPES.get(schema.get('type', ''), 'anything')}{_range(schema)}"


def _range(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum", schema.get("exclusiveMinimum")), schema.get("maximum")
    low, high = (None if end is None or abs(end) > _TELLING else f"{end:g}" for end in (low, high))
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", from {low}" if low is not None else ""
