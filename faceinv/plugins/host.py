"""Discovery of plugins: load them one by one, and report those that are broken with their distribution."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from faceinv.contracts.specs import LossSpec, ProbeSpec, Spec, WeightSpec
from faceinv.errors import PluginError, UsageError, shown, suggest
from faceinv.plugins import builtin, hookspecs
from faceinv.plugins.bundled import distribution_of
from faceinv.plugins.registry import Registry

if TYPE_CHECKING:
    import click

GROUP = "faceinv"

#: The kind of the specs that each hook returns. ``faceinv_commands`` returns none: it registers commands.
HOOK_KINDS = {
    "faceinv_encoders": "encoder",
    "faceinv_generators": "generator",
    "faceinv_probes": "probe",
    "faceinv_losses": "loss",
    "faceinv_methods": "method",
    "faceinv_metrics": "metric",
    "faceinv_datasets": "dataset",
    "faceinv_detectors": "detector",
    "faceinv_weights": "weights",
    "faceinv_weight_sources": "weight source",
}


@dataclass(frozen=True)
class Problem:
    """A plugin, or a part of one, that cannot be used.

    Args:
        plugin: Name of the plugin.
        distribution: Distribution it came from, or the path given with ``--plugin``.
        cause: The error, in one line.
    """

    plugin: str
    distribution: str
    cause: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution}): {self.cause}"


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

    Raises:
        UsageError: if no plugin has a name in ``blocked``, or a path is not a plugin.
    """

    def __init__(
        self, *, blocked: Iterable[str] = (), paths: Sequence[str | Path] = (), entry_points: bool = True
    ) -> None:
        self.manager = _Manager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.problems: list[Problem] = []
        self.distributions: dict[str, str] = {}
        self.registries = {kind: Registry[Any](kind) for kind in HOOK_KINDS.values()}
        self._left_out: set[str] = set()
        asked = set(blocked)
        for name in asked:
            self.manager.set_blocked(name)
        self.register(builtin, "core", f"faceinv {_version('faceinv')}")
        if entry_points:
            self._load_entry_points()
        for path in paths:
            self._load_path(Path(path))
        if unused := sorted(asked - self._left_out):
            raise UsageError(
                f"--no-plugins {unused[0]}: no plugin has that name.{suggest(unused[0], self.distributions)} "
                "'faceinv plugins' lists them."
            )

    def register(self, plugin: object, name: str, distribution: str) -> None:
        """Register one plugin and collect the specs it declares; errors become :attr:`problems`."""
        if self._is_blocked(name, distribution):
            return
        taken = name if self.manager.has_plugin(name) else self.manager.get_name(plugin)
        if taken:
            error = PluginError(f"already registered as '{taken}' ({self.distributions[taken]})")
            self._report(name, distribution, error)
            return
        try:
            self.manager.register(plugin, name)
            self.manager.check_pending()
        except pluggy.PluginValidationError as invalid:
            self._report(name, distribution, PluginError(self._unknown_hook(plugin) or str(invalid)))
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)
            return
        self.distributions[name] = distribution
        for hook, kind in HOOK_KINDS.items():
            for implementation in getattr(self.manager.hook, hook).get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                try:
                    specs = list(implementation.function())
                except Exception as error:
                    self._report(name, distribution, error, f"{hook}() failed: ")
                    continue
                for spec in specs:
                    self._add(kind, spec, name, distribution)

    def spec(self, kind: str, name: str) -> Any:
        """Return the spec of this ``kind`` called ``name``; a bare architecture means its default tag.

        Raises:
            UnknownNameError: if there is none; the message suggests the closest name, or the distribution to install.
            PluginError: if two plugins declare it.
        """
        registry = self._registry(kind)
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

    def knows(self, kind: str, name: str) -> bool:
        """Return whether a spec of this ``kind`` is called ``name``."""
        return self._registry(kind).knows(name)

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

    def weights(self, names: Iterable[str]) -> list[WeightSpec]:
        """Return the weights files declared under these names."""
        return [self.spec("weights", name) for name in names]

    def add_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands; one that fails is reported and skipped."""
        for implementation in self.manager.hook.faceinv_commands.get_hookimpls():
            try:
                implementation.function(cli=cli)
            except Exception as error:
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
                return f"unknown hook '{hook.name}'.{suggest(hook.name, [*HOOK_KINDS, 'faceinv_commands'])}"
        return ""

    def _load_entry_points(self) -> None:
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
            # Read once: each access to a distribution's name parses all of its metadata.
            metadata = point.dist.metadata if point.dist else None
            distribution = f"{metadata['Name']} {metadata['Version']}" if metadata else "unknown distribution"
            if not self._is_blocked(point.name, distribution):
                self._load(point.name, distribution, point.load, f"importing {point.value} failed: ")

    def _load(self, name: str, distribution: str, load: Callable[[], object], context: str) -> None:
        try:
            plugin = load()
        except Exception as error:
            self._report(name, distribution, error, context)
        else:
            self.register(plugin, name, distribution)

    def _load_path(self, path: Path) -> None:
        try:
            path.stat()
        except (OSError, ValueError) as error:
            raise UsageError(f"--plugin {shown(path)}: {getattr(error, 'strerror', None) or error}.") from None
        if path.is_file() and path.suffix != ".py":
            raise UsageError(
                f"--plugin {path}: a plugin is a .py file, or a folder with pyproject.toml or __init__.py."
            )
        for name, load in _plugins_at(path):
            self._load(name, str(path), load, "importing it failed: ")

    def _add(self, kind: str, spec: object, name: str, distribution: str) -> None:
        expected = WeightSpec if kind == "weights" else Spec
        if not isinstance(spec, expected) or (isinstance(spec, Spec) and spec.kind != kind):
            error = PluginError(f"declares {spec!r} where a spec of kind '{kind}' is expected")
            self._report(name, distribution, error)
            return
        clash = self.registries[kind].add(spec, distribution)
        if clash:
            self._report(name, distribution, PluginError(clash))

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
        text = str(error) if isinstance(error, PluginError) else f"{type(error).__name__}: {error}"
        self.problems.append(Problem(name, distribution, context + " ".join(text.split())))


def _plugins_at(path: Path) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the name and a loader of each plugin in a file, a package folder or a source distribution."""
    project = path / "pyproject.toml"
    if path.is_dir() and project.is_file():
        import tomllib

        declared = tomllib.loads(project.read_text()).get("project", {}).get("entry-points", {}).get(GROUP, {})
        if not declared:
            raise UsageError(f'--plugin {path}: its pyproject.toml lacks [project.entry-points."{GROUP}"].')
        source = str(path / "src" if (path / "src").is_dir() else path)
        if source not in sys.path:
            sys.path.insert(0, source)
        for name, value in declared.items():
            yield name, EntryPoint(name, value, GROUP).load
        return
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise UsageError(f"--plugin {path}: the folder has neither pyproject.toml nor __init__.py.")
    yield path.stem, lambda: _load_module(path)


def _load_module(path: Path) -> ModuleType:
    """Import a file or package folder under its stem, so that ``target`` strings can refer to it."""
    name = path.stem
    if name in sys.modules:
        known = getattr(sys.modules[name], "__file__", None)
        if known and Path(known).resolve() in {path.resolve(), (path / "__init__.py").resolve()}:
            return sys.modules[name]
        raise PluginError(f"its module name '{name}' is taken by {known or 'a built-in module'}; rename the file")
    package = path.is_dir()
    spec = importlib.util.spec_from_file_location(
        name, path / "__init__.py" if package else path, submodule_search_locations=[str(path)] if package else None
    )
    if spec is None or spec.loader is None:
        raise PluginError("not a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"
