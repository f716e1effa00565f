"""Discovery of plugins: load them one by one, and report those that are broken with their distribution."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import traceback
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pluggy

from faceinv.contracts.specs import LossSpec, ProbeSpec, Spec, WeightSpec
from faceinv.errors import PluginError, UsageError, shown, suggest
from faceinv.plugins import builtin, hookspecs
from faceinv.plugins.bundled import distribution_of
from faceinv.plugins.external import External, declare_external, is_external
from faceinv.plugins.guard import EndedError, Problem, excused, guarded, reason
from faceinv.plugins.paths import GROUP, plugins_at
from faceinv.plugins.registry import Registry, load_target
from faceinv.storage.shipments import Shipment

if TYPE_CHECKING:
    import click

_CORE = "faceinv"

#: The kind of the specs that each hook returns; :data:`_OTHER_HOOKS` return none.
HOOK_KINDS = {
    "faceinv_encoders": "encoder",
    "faceinv_generators": "generator",
    "faceinv_probes": "probe",
    "faceinv_losses": "loss",
    "faceinv_methods": "method",
    "faceinv_metrics": "metric",
    "faceinv_datasets": "dataset",
    "faceinv_detectors": "detector",
    "faceinv_protections": "protection",
    "faceinv_reporters": "reporter",
    "faceinv_weights": "weights",
    "faceinv_weight_sources": "weight source",
}
_OTHER_HOOKS = ("faceinv_trained", "faceinv_commands")

#: Kinds whose objects are called.
_CALLED = ("loss", "method", "metric", "detector")
#: Most specs that one hook of a plugin may declare.
_MOST_SPECS = 10_000
#: Most problems of one plugin that are reported.
_MOST_PROBLEMS = 10


class _Manager(pluggy.PluginManager):
    """A plugin manager that reports hooks without a marker."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> pluggy.HookimplOpts | None:
        """Reject a hook without its marker, which pluggy would silently ignore."""
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None and name.startswith("faceinv_") and callable(getattr(plugin, name)):
            raise pluggy.PluginValidationError(plugin, f"'{name}' is not marked with @faceinv.hookimpl")
        return options


class Host:
    """All plugins that could be loaded, and the specs that they declare.

    Args:
        blocked: Names of plugins, or of their distributions, to leave out.
        paths: Files or folders of plugins that are not installed.
        entry_points: Whether to load installed plugins.
        offline: Whether encoders that no plugin declares must be found without the network.

    Raises:
        UsageError: if no plugin has a name in ``blocked``, or a path is not a plugin.
    """

    def __init__(
        self,
        *,
        blocked: Iterable[str] = (),
        paths: Sequence[str | Path] = (),
        entry_points: bool = True,
        offline: bool = False,
    ) -> None:
        self.offline = offline
        self.manager = _Manager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.problems: list[Problem] = []
        self.distributions: dict[str, str] = {}
        self.registries = {kind: Registry[Any](kind) for kind in HOOK_KINDS.values()}
        self._left_out: set[str] = set()
        self._external: dict[str, str] = {}
        self._declared_by: dict[tuple[str, str], str] = {}
        asked = set(blocked)
        for name in asked:
            self.manager.set_blocked(name)
        self.register(builtin, "core", f"faceinv {_version('faceinv')}")
        if entry_points:
            self._load_entry_points()
        for path in paths:
            for name, load in plugins_at(Path(path)):
                self._load(name, str(path), load, "importing it failed: ")
        if unused := sorted(asked - self._left_out):
            raise UsageError(
                f"--no-plugins {unused[0]}: no plugin has that name.{suggest(unused[0], self.distributions)} "
                "'faceinv plugins' lists them."
            )

    def register(self, plugin: object, name: str, distribution: str) -> None:
        """Register one plugin and collect the specs it declares; errors become :attr:`problems`."""
        if self._is_blocked(name, distribution):
            return
        try:
            with guarded():
                self._enter(plugin, name, distribution)
        except Exception as error:
            self._report(name, distribution, error)
            return
        for hook, kind in HOOK_KINDS.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                try:
                    with guarded():
                        # A hook may be an endless generator.
                        specs = list(itertools.islice(implementation.function(), _MOST_SPECS + 1))
                except Exception as error:
                    self._report(name, distribution, error, f"{hook}() failed: ")
                    continue
                if len(specs) > _MOST_SPECS:
                    many = PluginError(f"{hook}() declares more than {_MOST_SPECS:,} specs; the others are left out")
                    self._report(name, distribution, many)
                for spec in specs[:_MOST_SPECS]:
                    self._add(kind, spec, name, distribution)

    def _enter(self, plugin: object, name: str, distribution: str) -> None:
        """Hand a plugin to pluggy.

        Raises:
            PluginError: if its name is taken, it is registered already, or a hook does not exist or has another
                signature.
        """
        if plugin == object():
            raise PluginError("it compares equal to every object")
        taken = name if self.manager.has_plugin(name) else self.manager.get_name(plugin)
        if taken:
            raise PluginError(f"already registered as '{taken}' ({self.distributions[taken]})")
        try:
            self.manager.register(plugin, name)
            self.manager.check_pending()
        except pluggy.PluginValidationError as invalid:
            unknown = self._unknown_hook(plugin)
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            raise PluginError(unknown or str(invalid)) from None
        self.distributions[name] = distribution

    def spec(self, kind: str, name: str) -> Any:
        """Return the spec of this ``kind`` called ``name``; a bare architecture means its default tag.

        The name of an encoder may also say where it is, such as ``onnx:FILE`` or ``encoder.yaml``.

        Raises:
            UnknownNameError: if there is none; the message suggests the closest name, or the distribution to install.
            PluginError: if two plugins declare it.
        """
        registry = self._registry(kind)
        if kind == "encoder" and not registry.knows(name) and is_external(name):
            if name not in self._external:
                self._external[name] = self.adopt(declare_external(name, offline=self.offline))
            name = self._external[name]
        return registry.get(name, hint="" if registry.knows(name) else self.install_hint(name))

    def install_hint(self, name: str) -> str:
        """Return how to install the bundled distribution that declares ``name``, or nothing if it is installed."""
        distribution = distribution_of(name)
        if distribution is None or distribution in {owner.split()[0] for owner in self.distributions.values()}:
            return ""
        return f"It comes with {distribution}: pip install {distribution}"

    def weighted(self, name: str) -> Spec:
        """Return the spec that a user's own weights file given under ``name`` is for.

        Raises:
            UnknownNameError: if no encoder, generator, probe or metric has this name.
        """
        kind = next((kind for kind in ("encoder", "generator", "probe", "metric") if self.knows(kind, name)), "encoder")
        spec: Spec = self.spec(kind, name)
        return spec

    def specs(self, kind: str) -> list[Any]:
        """Return all specs of a ``kind``, sorted by name."""
        return self._registry(kind).specs()

    def owner(self, kind: str, name: str) -> str:
        """Return the distribution that declares ``name``."""
        return self._registry(kind).owner(name)

    def plugin_of(self, spec: Spec) -> str | None:
        """Return the plugin that declares ``spec``, or the probe that it is the loss of; ``None`` if no plugin does."""
        return self._declared_by.get((spec.kind, spec.name)) or self._declared_by.get(("probe", spec.name))

    def knows(self, kind: str, name: str) -> bool:
        """Return whether a spec of this ``kind`` is called ``name``."""
        return self._registry(kind).knows(name)

    def build(self, spec: Spec, *arguments: Any, **options: Any) -> Any:
        """Return what the target of ``spec`` makes of these arguments.

        Raises:
            PluginError: if the target does not exist, or raises an error that is neither faceinv's nor the machine's.
        """
        factory = load_target(spec)
        try:
            with guarded():
                made = factory(*arguments, **options)
        except Exception as error:
            if excused(error):
                raise
            raise PluginError(f"{self._named(spec)} cannot be built: {reason(error)}.") from error
        if spec.kind in _CALLED and not callable(made):
            raise PluginError(f"{self._named(spec)} must be callable; {spec.target} made {type(made).__name__}.")
        return made

    def blamed(self, error: Exception) -> Exception:
        """Return a :class:`PluginError` that names the plugin whose code raised ``error``; else ``error`` itself.

        The innermost frame that belongs to a plugin or to the core decides; those of libraries are passed over.
        An object of a plugin that lacks an attribute is to blame wherever that is noticed.
        """
        if excused(error):
            return error
        owners = {}
        for name, plugin in self.manager.list_name_plugin():
            module = getattr(plugin, "__name__", None) or type(plugin).__module__
            owners[module.partition(".")[0]] = self.distributions.get(name, name)
        lacking = type(error.obj).__module__.partition(".")[0] if isinstance(error, AttributeError) else ""
        origin = error.__cause__ if isinstance(error, EndedError) and error.__cause__ else error
        for frame, line in reversed(list(traceback.walk_tb(origin.__traceback__))):
            top = lacking if lacking in owners else str(frame.f_globals.get("__name__")).partition(".")[0]
            spec: Any = getattr(frame.f_locals.get("self"), "spec", None)
            if top == _CORE and not (isinstance(spec, Spec) and self.knows(spec.kind, spec.name)):
                return error
            if top == _CORE or top in owners:
                who = self._named(spec) if top == _CORE else f"The plugin {owners[top]}"
                where = f"{Path(frame.f_code.co_filename).name}, line {line}"
                blamed = PluginError(f"{who} failed: {reason(error)} ({where}).")
                blamed.__cause__ = error
                return blamed
        return error

    def _named(self, spec: Spec) -> str:
        return f"The {spec.kind} '{spec.name}' of {self.owner(spec.kind, spec.name)}"

    def declare(self, spec: Spec, distribution: str) -> None:
        """Add a spec that no plugin declares; an equal one may be there already.

        Raises:
            PluginError: if a different spec has the same name.
        """
        registry = self._registry(spec.kind)
        if not registry.knows(spec.name) or registry.get(spec.name) != spec:
            clash = registry.add(spec, distribution)
            if clash:
                raise PluginError(f"{clash[0].upper()}{clash[1:]}.")

    def adopt(self, found: External) -> str:
        """Add an encoder that no plugin declares, with its files, and return its name."""
        for file in found.weights:
            if not self.knows("weights", file.name):
                self.registries["weights"].add(file, found.owner)
        if not self.knows("encoder", found.spec.name):
            self.declare(found.spec, found.owner)
        return found.spec.name

    def weights(self, names: Iterable[str]) -> list[WeightSpec]:
        """Return the weights files declared under these names."""
        return [self.spec("weights", name) for name in names]

    def shipments(self) -> list[Shipment]:
        """Return the folders of trained parts that plugins ship; a plugin that fails is reported and skipped."""
        found = []
        for implementation in self.manager.hook.faceinv_trained.get_hookimpls():
            name, hook = implementation.plugin_name, cast(Callable[[], Iterable[Path]], implementation.function)
            try:
                with guarded():
                    folders = [Path(folder) for folder in itertools.islice(hook(), _MOST_SPECS)]
            except Exception as error:
                self._report(name, self.distributions[name], error, "faceinv_trained() failed: ")
            else:
                found += [Shipment(folder, self.distributions[name]) for folder in folders]
        return found

    def add_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands; one that fails is reported and skipped."""
        for implementation in self.manager.hook.faceinv_commands.get_hookimpls():
            before = dict(cli.commands)
            try:
                with guarded():
                    implementation.function(cli=cli)
                    if odd := [key for key in cli.commands if not isinstance(key, str)]:
                        raise PluginError(f"the name of a command must be text, got {odd[0]!r}")
            except Exception as error:
                cli.commands = before
                name = implementation.plugin_name
                self._report(name, self.distributions[name], error, "faceinv_commands() failed: ")

    def _is_blocked(self, name: str, distribution: str) -> bool:
        blocked = {given for given in (name, distribution.split()[0]) if self.manager.is_blocked(given)}
        self._left_out |= blocked
        return bool(blocked)

    def _unknown_hook(self, plugin: object) -> str:
        """Return a message about a hook of ``plugin`` that does not exist, or nothing."""
        for hook in self.manager.get_hookcallers(plugin) or ():
            if not hook.has_spec():
                return f"unknown hook '{hook.name}'.{suggest(hook.name, [*HOOK_KINDS, *_OTHER_HOOKS])}"
        return ""

    def _load_entry_points(self) -> None:
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
            distribution = "unknown distribution"
            # Its metadata may be damaged. Read once: each access to a name parses all of them.
            with suppress(Exception):
                if metadata := point.dist and point.dist.metadata:
                    distribution = f"{metadata['Name']} {metadata['Version']}"
            if not self._is_blocked(point.name, distribution):
                self._load(point.name, distribution, point.load, f"importing {point.value} failed: ")

    def _load(self, name: str, distribution: str, load: Callable[[], object], context: str) -> None:
        try:
            with guarded():
                plugin = load()
        except Exception as error:
            self._report(name, distribution, error, context)
        else:
            self.register(plugin, name, distribution)

    def _add(self, kind: str, spec: Any, name: str, distribution: str) -> None:
        expected: Any = WeightSpec if kind == "weights" else Spec
        try:
            with guarded():
                if not isinstance(spec, expected) or (isinstance(spec, Spec) and spec.kind != kind):
                    raise PluginError(f"declares {shown(repr(spec))} where a spec of kind '{kind}' is expected")
                # Again: a subclass may have skipped it.
                expected.__post_init__(spec)
                if clash := self.registries[kind].add(spec, distribution):
                    raise PluginError(clash)
                self._declared_by[kind, spec.name] = name
        except Exception as error:
            self._report(name, distribution, error)

    def _registry(self, kind: str) -> Registry[Any]:
        if kind == "loss":
            self._add_probe_losses()
        return self.registries[kind]

    def _add_probe_losses(self) -> None:
        """Make a loss of every measurable probe, unless a plugin declares a loss of that name."""
        for probe in self.specs("probe"):
            assert isinstance(probe, ProbeSpec)
            if probe.measurable and not self.registries["loss"].knows(probe.name):
                self.registries["loss"].add(
                    LossSpec(
                        name=probe.name,
                        summary=f"Distance to the {probe.name} read from the descriptor",
                        target="faceinv.attack.objective:AttributeLoss",
                        licence=probe.licence,
                        citation=probe.citation,
                        probe=probe.name,
                    ),
                    self.owner("probe", probe.name),
                )

    def _report(self, name: str, distribution: str, error: Exception, context: str = "") -> None:
        before = sum((problem.plugin, problem.distribution) == (name, distribution) for problem in self.problems)
        if before < _MOST_PROBLEMS:
            self.problems.append(Problem(name, distribution, context + reason(error)))
        elif before == _MOST_PROBLEMS:
            self.problems.append(Problem(name, distribution, "its further problems are not listed"))


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
