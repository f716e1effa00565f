"""A config becomes the cells of its grid: every name resolved, every cell checked."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS, BenchConfig
from faceinv.bench.config_file import Source
from faceinv.bench.naming import cell_id
from faceinv.contracts.leaks import FUSIONS, parse_knowledge, parse_leak
from faceinv.contracts.protection_specs import KEY_KNOWN, THREATS
from faceinv.contracts.specs import PRESETS, DatasetSpec, EncoderSpec, GeneratorSpec, MethodSpec, Spec
from faceinv.data.opening import parse_dataset
from faceinv.errors import UsageError, unknown_name
from faceinv.plugins.host import Host
from faceinv.plugins.options import check_options, parse_reporter
from faceinv.plugins.protections import parse_protection

#: Most cells of a grid.
MOST_CELLS = 10_000


def cells(config: BenchConfig, host: Host, source: Source | None = None) -> list[Cell]:
    """Resolve every name and return the cells of the grid, in the order of the config.

    Raises:
        UsageError: if a name is unknown, a value is not allowed, or a method needs gradients of a black-box encoder;
            before anything is computed.
    """
    source = source or Source()
    try:
        # Two aliases may resolve to the same cell; it is computed once.
        return list({cell_id(cell): cell for cell in _Grid(config, host).cells()}.values())
    except _KeyedError as error:
        raise UsageError(f"{source.at(error.key)}{error.key}: {error.text}") from None


class _KeyedError(Exception):
    """A mistake in the value of a key."""

    def __init__(self, key: str, error: UsageError | str) -> None:
        self.key, self.text = key, str(error)


@dataclass(frozen=True)
class _Choice:
    """One value of each key that makes a grid, as it was given."""

    encoder: str
    generator: str
    objective: str
    method: tuple[str, Mapping[str, Mapping[str, Any]]]
    dataset: str
    seed: int
    losses: list[str]
    loss_weights: Mapping[str, float]
    steps: int
    protection: str
    threat: str
    issued: int
    leak: str
    knowledge: str
    leaked_per_person: int
    fusion: str
    precision: str


class _Grid:
    """Resolves the names of a config.

    Args:
        config: The config.
        host: The plugins.
    """

    def __init__(self, config: BenchConfig, host: Host) -> None:
        self._config, self._host = config, host

    def cells(self) -> Iterator[Cell]:
        config = self._config
        shared = self._shared()
        if config.surrogate and set(config.knowledge) <= {"encoder"}:
            raise _KeyedError(
                "surrogate", "an attacker who can run the attacked encoder needs no other one; add --knowledge pairs:N."
            )
        axes: list[Sequence[Any]] = [
            config.encoder,
            config.generator,
            config.objective,
            list(itertools.product(config.method, config.method_options)),
            config.dataset,
            config.seed,
            self._loss_lists(),
            config.loss_weights,
            config.steps,
            config.protect,
            config.threat,
            config.issued,
            config.leak,
            config.knowledge,
            config.leaked_per_person,
            config.fusion,
            config.precision,
        ]
        count = math.prod(map(len, axes))
        if count > MOST_CELLS:
            raise UsageError(
                f"The lists make a grid of {count:,} cells; at most {MOST_CELLS:,} are allowed in one run."
            )
        for choice in itertools.product(*axes):
            yield self._cell(_Choice(*choice), shared)

    def _spec(self, key: str, kind: str, name: str) -> Any:
        try:
            return self._host.spec(kind, name)
        except UsageError as error:
            raise _KeyedError(key, error) from None

    def _shared(self) -> dict[str, Any]:
        """Check the keys that do not make a grid, and return the fields that all cells share."""
        config = self._config
        for key in config.weights:
            try:
                self._host.weighted(key)
            except UsageError as error:
                raise _KeyedError("weights", error) from None
        for given in config.reporter:
            try:
                parse_reporter(self._host, given)
            except UsageError as error:
                raise _KeyedError("reporter", error) from None
        for name, options in itertools.chain.from_iterable(map(dict.items, config.method_options)):
            self._check_options("method_options", "method", name, options)
        for name, options in config.dataset_options.items():
            self._check_options("dataset_options", "dataset", name, options)
        if config.labels and not any(self._dataset("dataset", given)[1].takes_labels for given in config.dataset):
            takes = ", ".join(spec.name for spec in self._host.specs("dataset") if spec.takes_labels)
            raise _KeyedError("labels", f"none of the data sets takes labels. Those that do: {takes}.")
        recognition = config.recognition
        if recognition != TARGETS:
            recognition, _ = self._dataset("recognition", recognition)
        unchanged = ("limit", "per_person", "min_photographs", "skip", "probes", "pairs", "answers", "compile")
        return {key: getattr(config, key) for key in unchanged} | {
            "metrics": tuple(self._spec("metrics", "metric", name).name for name in config.metrics),
            "detector": self._spec("detector", "detector", config.detector).name,
            **self._probe_data(),
            "recognition": recognition,
            # Unused with the targets' own people, so it must not affect the record's id.
            "recognition_limit": 0 if recognition == TARGETS else config.recognition_limit,
        }

    def _probe_data(self) -> dict[str, Any]:
        """Return the fields of the photographs that probes learn from."""
        given = self._config.probe_data
        if not given:
            # Unused, so it must not affect the record's id.
            return {"probe_data": "", "probe_data_limit": 0}
        name, spec = self._dataset("probe_data", given)
        if not spec.real:
            raise _KeyedError("probe_data", f"'{name}' holds no photographs; probes learn from samples without it.")
        return {"probe_data": name, "probe_data_limit": self._config.probe_data_limit}

    def _cell(self, choice: _Choice, shared: Mapping[str, Any]) -> Cell:
        config = self._config
        if choice.objective not in PRESETS:
            raise _KeyedError("objective", unknown_name("objective preset", choice.objective, PRESETS))
        encoder: EncoderSpec = self._spec("encoder", "encoder", choice.encoder)
        generator: GeneratorSpec = self._spec("generator", "generator", choice.generator)
        if config.space and config.space not in generator.spaces:
            allowed = ", ".join(generator.spaces)
            raise _KeyedError("space", f"the generator '{generator.name}' has no '{config.space}'. Allowed: {allowed}.")
        method: MethodSpec = self._spec("method", "method", choice.method[0])
        leak = self._leak(choice, encoder)
        self._check_access(method, self._spec("surrogate", "encoder", leak["surrogate"] or encoder.name))
        dataset, dataset_spec = self._dataset("dataset", choice.dataset)
        losses = self._losses(choice.losses)
        protection = self._protection(choice, encoder)
        for name in choice.loss_weights:
            self._spec("loss_weights", "loss", name)
        return Cell(
            encoder=encoder.name,
            critics=self._critics(encoder.name),
            generator=generator.name,
            space=config.space or generator.spaces[0],
            losses=losses,
            objective=choice.objective,
            loss_weights={name: weight for name, weight in sorted(choice.loss_weights.items()) if name in losses},
            method=method.name,
            method_options={
                **method.options,
                **method.options_under(choice.objective),
                **self._options(choice.method[1], method),
            },
            dataset=dataset,
            dataset_options=self._options(config.dataset_options, dataset_spec),
            labels=config.labels if dataset_spec.takes_labels else "",
            # Methods without optimisation steps are the same at every budget and precision.
            steps=choice.steps if method.optimises else 0,
            precision=choice.precision if method.optimises else "fp32",
            seed=choice.seed,
            **protection,
            **leak,
            **shared,
        )

    def _leak(self, choice: _Choice, encoder: EncoderSpec) -> dict[str, Any]:
        """Return the fields of what leaks and what the attacker knows; those without effect are empty."""
        leak = knowledge = ""
        with self._at("leak"):
            found = parse_leak(choice.leak, encoder.dim)
            leak = str(found) if found else ""
        with self._at("knowledge"):
            knowledge = choice.knowledge if parse_knowledge(choice.knowledge) else ""
        several = choice.leaked_per_person
        if knowledge and leak.startswith("decisions"):
            raise _KeyedError("leak", "finding a descriptor from decisions needs the encoder: --knowledge encoder.")
        if choice.protection != "none" and (leak or knowledge or several > 1):
            raise _KeyedError("protect", "a protected system leaks one template of each target; omit the leak.")
        if choice.fusion not in FUSIONS:
            raise _KeyedError("fusion", unknown_name("fusion", choice.fusion, FUSIONS))
        if several > 1 and self._config.min_photographs <= several:
            raise _KeyedError(
                "leaked_per_person",
                f"{several} leaked descriptors of a person, and another photograph to compare with, need people with "
                f"{several + 1} photographs: --min-photographs {several + 1}.",
            )
        return {
            "leak": leak,
            "knowledge": knowledge,
            "surrogate": self._surrogate(encoder.name) if knowledge else "",
            "leaked_per_person": several,
            "fusion": choice.fusion if several > 1 else "",
        }

    def _surrogate(self, encoder: str) -> str:
        """Return the encoder of an attacker without the attacked one: the user's choice, or a critic's alternative."""
        if self._config.surrogate:
            name: str = self._spec("surrogate", "encoder", self._config.surrogate).name
            if name == encoder:
                raise _KeyedError("surrogate", f"'{name}' is the attacked encoder, which the attacker cannot run.")
            return name
        named = ",".join(self._config.critic).replace("|", ",").split(",")
        critics = self._critics(encoder)
        others = [self._spec("critic", "encoder", item.strip()).name for item in named]
        free = [name for name in others if name not in (encoder, *critics)]
        if not free:
            raise _KeyedError("surrogate", "an attacker with pairs needs an encoder of its own: --surrogate NAME.")
        return str(free[0])

    @contextmanager
    def _at(self, key: str) -> Iterator[None]:
        """Report a usage error in the block as one in the value of a key."""
        try:
            yield
        except UsageError as error:
            raise _KeyedError(key, error) from None

    def _protection(self, choice: _Choice, encoder: EncoderSpec) -> dict[str, Any]:
        """Return the fields of the protection."""
        if choice.threat not in THREATS:
            raise _KeyedError("threat", unknown_name("threat", choice.threat, THREATS))
        try:
            found = parse_protection(choice.protection, encoder.dim, self._host)
        except UsageError as error:
            raise _KeyedError("protect", error) from None
        if found is None:
            return {"protection": "", "protection_options": {}, "threat": "", "issued": 1}
        spec, options = found
        # Without keys, no threat model differs from another.
        return {
            "protection": spec.name,
            "protection_options": options,
            "threat": KEY_KNOWN if spec.keys == "none" else choice.threat,
            # All templates of a descriptor are the same where nothing is drawn for each.
            "issued": choice.issued if spec.keys != "none" or spec.renewed else 1,
        }

    def _check_access(self, method: MethodSpec, encoder: EncoderSpec) -> None:
        """Raise unless the method does without gradients of a black-box encoder, during and before the attack."""
        if encoder.black_box and _needs_gradients(method):
            allowed = ", ".join(spec.name for spec in self._host.specs("method") if not _needs_gradients(spec))
            raise _KeyedError(
                "method",
                f"'{method.name}' needs gradients of the encoder '{encoder.name}', which is a black box "
                f"({encoder.summary}). Methods that need none: {allowed}.",
            )

    def _check_options(self, key: str, kind: str, name: str, options: Mapping[str, Any]) -> None:
        spec = self._spec(key, kind, name)
        # Looking at a factory imports it, and torch with it.
        if options:
            try:
                check_options(spec, options)
            except UsageError as error:
                raise _KeyedError(key, error) from None

    def _losses(self, given: list[str]) -> tuple[str, ...]:
        names = tuple(self._spec("losses", "loss", name).name for name in given)
        repeated = next((name for name in names if names.count(name) > 1), None)
        if repeated:
            raise _KeyedError("losses", f"'{','.join(given)}' names '{repeated}' twice.")
        return names

    def _options(self, given: Mapping[str, Mapping[str, Any]], spec: Spec) -> dict[str, Any]:
        """Return the options that are given for ``spec`` under any of its names."""
        merged: dict[str, Any] = {}
        for name, options in given.items():
            if self._host.spec(spec.kind, name).name == spec.name:
                merged.update(options)
        return merged

    def _loss_lists(self) -> list[list[str]]:
        lists = []
        for entry in self._config.losses:
            names = [name.strip() for name in entry.split(",") if name.strip()]
            if not names:
                raise _KeyedError("losses", f"'{entry}' names no loss.")
            self._losses(names)
            # An ablation has every prefix, as the columns of the paper's Table 2.
            lists += [names[:end] for end in range(1, len(names) + 1)] if self._config.ablate else [names]
        return [list(names) for names in dict.fromkeys(tuple(names) for names in lists)]

    def _critics(self, encoder: str) -> tuple[str, ...]:
        try:
            return critics_of(self._config.critic, encoder, self._host)
        except UsageError as error:
            raise _KeyedError("critic", error) from None

    def _dataset(self, key: str, given: str) -> tuple[str, DatasetSpec]:
        try:
            return named_dataset(given, self._host)
        except UsageError as error:
            raise _KeyedError(key, error) from None


def critics_of(given: Sequence[str], encoder: str, host: Host) -> tuple[str, ...]:
    """Return every critic once, unattacked ones first; ``a|b`` means the first one that is not attacked.

    Args:
        given: Critics as in a config.
        encoder: Full name of the attacked encoder.
        host: The plugins.

    Raises:
        UsageError: if a name is unknown or missing.
    """
    text, names = ",".join(given), []
    for item in text.split(","):
        if not item.strip(" |"):
            raise UsageError(f"'{text}' has a comma without an encoder after it.")
        alternatives = [host.spec("encoder", name.strip()).name for name in item.split("|")]
        names.append(next((name for name in alternatives if name != encoder), alternatives[0]))
    return tuple(sorted(dict.fromkeys(names), key=lambda name: name == encoder))


def named_dataset(given: str, host: Host) -> tuple[str, DatasetSpec]:
    """Return ``NAME[:PATH]`` with the full name of its data set, and the spec.

    Raises:
        UsageError: if there is no such data set.
    """
    name, path = parse_dataset(host, given)
    return name if path is None else f"{name}:{path}", host.spec("dataset", name)


def _needs_gradients(method: MethodSpec) -> bool:
    return "white-box" in (method.access, method.offline)
