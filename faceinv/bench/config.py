"""Configs, read from file and command line and validated completely before anything runs."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from faceinv.bench.config_file import Source, read_config
from faceinv.errors import UsageError, shown, suggest

#: Value of ``recognition`` that takes genuine and impostor scores from the targets' people.
TARGETS = "targets"

#: Largest number of targets, pairs or steps.
_MOST = 10**9


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
Reporters = Annotated[list[str], BeforeValidator(_listed)]
MethodOptions = Annotated[list[dict[str, dict[str, Any]]], BeforeValidator(_listed), Field(min_length=1)]
#: Zero switches a loss off; a negative weight would maximise it.
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Weightings = Annotated[list[dict[str, Weight]], BeforeValidator(_listed), Field(min_length=1)]
Seeds = Annotated[list[Annotated[int, Field(ge=-(2**63), lt=2**63)]], BeforeValidator(_listed), Field(min_length=1)]
#: A string such as ``a,b`` is equivalent to a list.
Methods = Annotated[list[str], BeforeValidator(_split), Field(min_length=1)]
Budgets = Annotated[list[Annotated[int, Field(ge=0, le=_MOST)]], BeforeValidator(_split), Field(min_length=1)]
Precisions = Annotated[list[Literal["fp32", "bf16"]], BeforeValidator(_split), Field(min_length=1)]


def _batch_size(value: object) -> object:
    text = str(value)
    if text == "auto":
        return text
    if not text.isdigit() or int(text) < 1:
        raise ValueError("Input should be a whole number from 1, or auto")
    return int(text)


def _nameable(path: Path) -> Path:
    """Return ``path`` if a file can have this name."""
    try:
        path.is_file()
    except (OSError, ValueError) as error:
        raise ValueError(f"No file can have this name: {getattr(error, 'strerror', None) or error}") from None
    return path


FilePath = Annotated[Path, AfterValidator(_nameable)]
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
    limit: int = Field(ge=1, le=_MOST)
    per_person: int = Field(ge=0, le=_MOST)
    min_photographs: int = Field(ge=1, le=_MOST)
    skip: int = Field(ge=0, le=_MOST)
    steps: Budgets
    seed: Seeds
    ablate: bool
    probes: Literal["tuned", "paper"]
    pairs: int = Field(ge=100, le=_MOST)
    probe_data: str
    probe_data_limit: int = Field(ge=0, le=_MOST)
    metrics: Names
    recognition: str
    recognition_limit: int = Field(ge=2, le=_MOST)
    leak: Methods
    knowledge: Methods
    surrogate: str
    leaked_per_person: Annotated[
        list[Annotated[int, Field(ge=1, le=1000)]], BeforeValidator(_split), Field(min_length=1)
    ]
    fusion: Methods
    answers: int = Field(ge=1, le=64)
    weights: dict[str, FilePath]
    protect: Methods
    threat: Methods
    issued: Annotated[list[Annotated[int, Field(ge=1, le=100)]], BeforeValidator(_split), Field(min_length=1)]
    precision: Precisions
    compile: bool
    cuda_graph: bool
    device: str
    batch_size: BatchSize
    checkpoint_activations: bool
    reporter: Reporters
    out: FilePath


def defaults() -> dict[str, Any]:
    """Return the contents of ``defaults.yaml``; the core's code names no network."""
    text = importlib.resources.files("faceinv.bench").joinpath("defaults.yaml").read_text(encoding="utf-8")
    standard: dict[str, Any] = yaml.safe_load(text)
    return standard


def load_config(path: Path | None, overrides: Mapping[str, Any]) -> tuple[BenchConfig, Source]:
    """Read a config; the command line overrides the file, the file the defaults.

    Args:
        path: A YAML file, or ``None``.
        overrides: Keys set on the command line; a file in ``weights`` without a name is the first encoder's.

    Raises:
        UsageError: if the file cannot be used, a key does not exist, or a value has the wrong type; the
            message has file, line, key and what is allowed.
    """
    standard = defaults()
    given, source = read_config(path) if path else ({}, Source())
    for key in (*given, *overrides):
        if key not in standard:
            raise UsageError(
                f"{source.at(key) if key in given else ''}unknown key '{shown(key)}'.{suggest(key, standard)} "
                f"Allowed: {', '.join(sorted(standard))}."
            )
    try:
        config = BenchConfig(**(standard | given | dict(overrides)))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        top = str(first["loc"][0])
        where = source.at(top) if top not in overrides else ""
        raise UsageError(f"{where}{key}: {first['msg']}; got {shown(repr(first['input']))}.") from None
    weights = {name or config.encoder[0]: file for name, file in config.weights.items()}
    return config.model_copy(update={"weights": weights}), source
