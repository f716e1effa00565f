"""Configs, read from file and command line and validated completely before anything runs."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from faceinv.errors import UsageError, suggest

#: Value of ``recognition`` that takes genuine and impostor scores from the targets' people.
TARGETS = "targets"


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _split(value: object) -> object:
    """Return a list, with strings split at commas: ``a,b`` on the command line is two choices."""
    return [
        part
        for item in (value if isinstance(value, list) else [value])
        for part in ([x.strip() for x in item.split(",")] if isinstance(item, str) else [item])
    ]


Names = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
MethodOptions = Annotated[list[dict[str, dict[str, Any]]], BeforeValidator(_listed), Field(min_length=1)]
Weightings = Annotated[list[dict[str, float]], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[list[int], BeforeValidator(_listed), Field(min_length=1)]
#: A string such as ``a,b`` is equivalent to a list.
Methods = Annotated[list[str], BeforeValidator(_split), Field(min_length=1)]
Budgets = Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_split), Field(min_length=1)]
Precisions = Annotated[list[Literal["fp32", "bf16"]], BeforeValidator(_split), Field(min_length=1)]


def _batch_size(value: object) -> object:
    text = str(value)
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise ValueError("Input should be a whole number from 1, or auto")
    return int(text)


BatchSize = Annotated[int | Literal["auto"], BeforeValidator(_batch_size)]


class BenchConfig(BaseModel):
    """The config of a run. Lists make a grid; ``defaults.yaml`` explains each key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    encoder: Names
    critic: Names
    generator: Names
    space: str
    losses: Names
    objective: Names
    loss_weights: Weightings
    method: Methods
    method_options: MethodOptions
    dataset: Names
    dataset_options: dict[str, dict[str, Any]]
    labels: str
    detector: str
    limit: int = Field(ge=1)
    per_person: int = Field(ge=0)
    min_photographs: int = Field(ge=1)
    skip: int = Field(ge=0)
    steps: Budgets
    seed: Seeds
    ablate: bool
    probes: Literal["tuned", "paper"]
    pairs: int = Field(ge=100)
    metrics: Names
    recognition: str
    recognition_limit: int = Field(ge=2)
    weights: dict[str, Path]
    precision: Precisions
    compile: bool
    device: str
    batch_size: BatchSize
    checkpoint_activations: bool
    out: Path


@dataclass(frozen=True)
class Source:
    """A config file, for messages that name its lines."""

    path: Path | None = None
    lines: Mapping[str, int] = field(default_factory=dict)

    def at(self, key: str) -> str:
        """Return ``"file:line: "`` of a top-level key, or an empty string."""
        if self.path is None or key not in self.lines:
            return ""
        return f"{self.path}:{self.lines[key]}: "


def defaults() -> dict[str, Any]:
    """Return the contents of ``defaults.yaml``; the core's code names no network."""
    text = importlib.resources.files("faceinv.bench").joinpath("defaults.yaml").read_text(encoding="utf-8")
    standard: dict[str, Any] = yaml.safe_load(text)
    return standard


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> tuple[BenchConfig, Source]:
    """Read a config; the command line overrides the file, the file the defaults.

    Args:
        path: A YAML file, or ``None``.
        overrides: Keys set on the command line.

    Raises:
        UsageError: if the file is not a YAML mapping, a key does not exist, or a value has the wrong type; the
            message has file, line, key and what is allowed.
    """
    standard = defaults()
    given, source = _read(path) if path else ({}, Source())
    for key in given:
        if key not in standard:
            raise UsageError(
                f"{source.at(key)}unknown key '{key}'.{suggest(key, standard)} Allowed: {', '.join(sorted(standard))}."
            )
    try:
        return BenchConfig(**(standard | given | dict(overrides))), source
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        top = str(first["loc"][0])
        where = source.at(top) if top not in overrides else ""
        raise UsageError(f"{where}{key}: {first['msg']}; got {first['input']!r}.") from None


def _read(path: Path) -> tuple[dict[str, Any], Source]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file. Create one with 'faceinv config > {path}'.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}.") from None
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else str(path)
        raise UsageError(f"{where}: not valid YAML: {getattr(error, 'problem', None) or error}.") from None
    if value is None:
        return {}, Source(path)
    if not isinstance(value, dict) or not isinstance(node, yaml.MappingNode):
        raise UsageError(f"{path}:1: a config must be a mapping of keys to values, got a {type(value).__name__}.")
    lines = {str(key.value): key.start_mark.line + 1 for key, _ in node.value}
    return {str(key): item for key, item in value.items()}, Source(path, lines)
