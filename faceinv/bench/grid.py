"""A config to the cells of its grid: every name resolved, every cell named by content."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS, BenchConfig, Source
from faceinv.bench.naming import cell_id
from faceinv.contracts.specs import PRESETS, DatasetSpec, GeneratorSpec, LossSpec, MethodSpec, Spec
from faceinv.data.opening import parse_dataset
from faceinv.errors import UsageError, unknown_name
from faceinv.plugins.host import Host


def cells(config: BenchConfig, host: Host, source: Source | None = None) -> list[Cell]:
    """Resolve every name and return the cells of the grid, in the order of the config.

    Raises:
        UsageError: a name that is not registered, a space the generator does not have, an option no
            method takes; before anything is computed.
    """
    source = source or Source()
    try:
        # Aliases may resolve to the same cell: it is computed once.
        return list({cell_id(cell): cell for cell in _cells(config, host)}.values())
    except _KeyedError as error:
        raise UsageError(f"{source.at(error.key)}{error.key}: {error.text}") from None


class _KeyedError(Exception):
    def __init__(self, key: str, error: UsageError | str) -> None:
        self.key, self.text = key, str(error)


def _cells(config: BenchConfig, host: Host) -> Iterator[Cell]:
    def spec(key: str, kind: str, name: str) -> Any:
        try:
            return host.spec(kind, name)
        except UsageError as error:
            raise _KeyedError(key, error) from None

    metrics = tuple(spec("metrics", "metric", name).name for name in config.metrics)
    detector = spec("detector", "detector", config.detector).name
    recognition = config.recognition
    if recognition != TARGETS:
        recognition, _ = _dataset("recognition", recognition, host)
    for key in config.weights:
        try:
            host.weighted(key)
        except UsageError as error:
            raise _KeyedError("weights", error) from None
    for key in itertools.chain.from_iterable(config.method_options):
        spec("method_options", "method", key)
    for key in config.dataset_options:
        spec("dataset_options", "dataset", key)
    _check_labels(config, host)
    grid = itertools.product(
        config.encoder,
        config.generator,
        config.objective,
        list(itertools.product(config.method, config.method_options)),
        config.dataset,
        config.seed,
        _loss_lists(config),
        config.loss_weights,
        config.steps,
        config.precision,
    )
    for encoder_name, generator_name, objective, attempt, dataset_name, seed, losses, weights, steps, bits in grid:
        method_name, chosen = attempt
        if objective not in PRESETS:
            raise _KeyedError("objective", unknown_name("objective preset", objective, PRESETS))
        encoder = spec("encoder", "encoder", encoder_name).name
        generator: GeneratorSpec = spec("generator", "generator", generator_name)
        if config.space and config.space not in generator.spaces:
            allowed = ", ".join(generator.spaces)
            raise _KeyedError("space", f"the generator '{generator.name}' has no '{config.space}'. Allowed: {allowed}.")
        method: MethodSpec = spec("method", "method", method_name)
        options = {
            **method.options,
            **method.preset_options.get(objective, {}),
            **_options(chosen, method, host),
        }
        dataset, dataset_spec = _dataset("dataset", dataset_name, host)
        names = []
        for name in losses:
            loss: LossSpec = spec("losses", "loss", name)
            names.append(loss.name)
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated:
            raise _KeyedError("losses", f"'{repeated}' stands twice in '{','.join(losses)}'.")
        for name in weights:
            spec("loss_weights", "loss", name)
        yield Cell(
            encoder=encoder,
            critics=_critics(config, encoder, spec),
            generator=generator.name,
            space=config.space or generator.spaces[0],
            losses=tuple(names),
            objective=objective,
            loss_weights={k: v for k, v in sorted(weights.items()) if k in names},
            method=method.name,
            method_options=options,
            dataset=dataset,
            dataset_options=_options(config.dataset_options, dataset_spec, host),
            labels=config.labels if dataset_spec.takes_labels else "",
            detector=detector,
            limit=config.limit,
            per_person=config.per_person,
            min_photographs=config.min_photographs,
            skip=config.skip,
            # One that is not steered by them is the same at every budget, and computed once.
            steps=steps if method.optimises else 0,
            seed=seed,
            probes=config.probes,
            pairs=config.pairs,
            metrics=metrics,
            recognition=recognition,
            # Where it says nothing it must not name the record.
            recognition_limit=0 if recognition == TARGETS else config.recognition_limit,
            # What takes no step has no precision to be named by, either.
            precision=bits if method.optimises else "fp32",
            compile=config.compile,
        )


def _check_labels(config: BenchConfig, host: Host) -> None:
    if config.labels and not any(_dataset("dataset", given, host)[1].takes_labels for given in config.dataset):
        takes = ", ".join(spec.name for spec in host.specs("dataset") if spec.takes_labels)
        raise _KeyedError("labels", f"none of the data sets takes labels. Those that do: {takes}.")


def _options(given: Mapping[str, Mapping[str, Any]], spec: Spec, host: Host) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name, options in given.items():
        if host.spec(spec.kind, name).name == spec.name:
            merged.update(options)
    return merged


def _loss_lists(config: BenchConfig) -> list[list[str]]:
    lists = []
    for entry in config.losses:
        names = [name.strip() for name in entry.split(",") if name.strip()]
        if not names:
            raise _KeyedError("losses", f"'{entry}' names no loss.")
        # The columns of the paper's Table 2: every prefix, up to the whole.
        lists += [names[:end] for end in range(1, len(names) + 1)] if config.ablate else [names]
    return [list(names) for names in dict.fromkeys(tuple(names) for names in lists)]


def _critics(config: BenchConfig, encoder: str, spec: Any) -> tuple[str, ...]:
    """Return every critic once; of alternatives ``a|b`` the first that is not attacked; unseen ones come first."""
    names: list[str] = []
    for item in ",".join(config.critic).split(","):
        if not item.strip(" |"):
            raise _KeyedError("critic", f"'{','.join(config.critic)}' names no encoder after a comma.")
        alternatives = [spec("critic", "encoder", name.strip()).name for name in item.split("|")]
        names.append(next((name for name in alternatives if name != encoder), alternatives[0]))
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name == encoder))


def _dataset(key: str, given: str, host: Host) -> tuple[str, DatasetSpec]:
    try:
        name, path = parse_dataset(host, given)
    except UsageError as error:
        raise _KeyedError(key, error) from None
    return name if path is None else f"{name}:{path}", host.spec("dataset", name)
