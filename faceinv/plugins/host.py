"""The host: finds plugins, loads them one at a time, and says what broke and whose it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pluggy

from faceinv.contracts.specs import LossSpec, ProbeSpec, Spec, WeightSpec
from faceinv.errors import PluginError, UsageError, suggest
from faceinv.plugins import hookspecs
from faceinv.plugins.registry import Registry

if TYPE_CHECKING:
    import click

GROUP = "faceinv"

#: Hook → kind of the specs it returns. ``faceinv_commands`` registers instead of returning.
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

#: Where a bundled name comes from, for the hint when its distribution is not installed.
BUNDLED = {
    "arcface": "faceinv-arcface",
    "facenet": "faceinv-facenet",
    "vggface": "faceinv-vggface2",
    "vggface2": "faceinv-vggface2",
    "dcgan": "faceinv-dcgan",
    "stylegan2": "faceinv-stylegan2",
    "mtcnn": "faceinv-mtcnn",
    "landmarks": "faceinv-landmarks",
    "pose": "faceinv-attributes",
    "skin-colour": "faceinv-attributes",
    "background-colour": "faceinv-attributes",
    "illumination": "faceinv-attributes",
    "lm": "faceinv-landmarks",
    "landmark_error": "faceinv-landmarks",
    "histogram": "faceinv-histogram",
    "hist": "faceinv-histogram",
    "hist-kornia": "faceinv-histogram",
    "histogram_emd": "faceinv-histogram",
    "id": "faceinv-id2image",
    "id-whitened": "faceinv-id2image",
    "regression": "faceinv-id2image",
    "latent-adam": "faceinv-id2image",
    "pixel": "faceinv-methods",
    "blobs": "faceinv-methods",
    "cma": "faceinv-methods",
    "zeroth": "faceinv-methods",
    "multi-start": "faceinv-methods",
    "faceinv": "faceinv-methods",
    "faceinv-scores": "faceinv-methods",
    "mapping": "faceinv-methods",
    "id_sim_attacked": "faceinv-id2image",
    "id_sim_critic": "faceinv-id2image",
    "success": "faceinv-biometrics",
    "identification": "faceinv-biometrics",
    "mse": "faceinv-imagequality",
    "mse_paper": "faceinv-imagequality",
    "psnr": "faceinv-imagequality",
    "ssim": "faceinv-imagequality",
    "lpips": "faceinv-imagequality",
    "synthetic": "faceinv-photographs",
    "folder": "faceinv-photographs",
    "mofa-test": "faceinv-photographs",
    "celeba": "faceinv-celeba",
    "lfw": "faceinv-lfw",
}


@dataclass(frozen=True)
class Problem:
    """A plugin, or a part of one, that cannot be used.

    Args:
        plugin: Name of the plugin.
        distribution: Distribution it came from, or the path given with ``--plugin``.
        cause: What went wrong, one line.
    """

    plugin: str
    distribution: str
    cause: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution}): {self.cause}"


class Host:
    """Every plugin that could be loaded, and what they declare.

    Args:
        blocked: Names of plugins, or of their distributions, to leave out.
        paths: Files or folders of plugins that are not installed.
        entry_points: Whether installed plugins are loaded; tests switch it off.
    """

    def __init__(
        self, *, blocked: Iterable[str] = (), paths: Sequence[str | Path] = (), entry_points: bool = True
    ) -> None:
        self.manager = pluggy.PluginManager(GROUP)
        self.manager.add_hookspecs(hookspecs)
        self.problems: list[Problem] = []
        self.distributions: dict[str, str] = {}
        self.registries = {kind: Registry[Any](kind) for kind in HOOK_KINDS.values()}
        self._blocked = set(blocked)
        self._unused_blocks = set(blocked)
        self.register(importlib.import_module("faceinv.plugins.builtin"), "core", f"faceinv {_version('faceinv')}")
        if entry_points:
            self._load_entry_points()
        for path in paths:
            self._load_path(Path(path))
        if self._unused_blocks:
            unused = min(self._unused_blocks)
            raise UsageError(
                f"--no-plugins {unused}: no plugin has that name.{suggest(unused, self.distributions)} "
                "'faceinv plugins' lists them."
            )

    def register(self, plugin: object, name: str, distribution: str) -> None:
        """Register one plugin and collect what it declares; what is wrong with it becomes a problem."""
        head = distribution.split()[0]
        if name in self._blocked or head in self._blocked:
            self._unused_blocks -= {name, head}
            return
        try:
            _check_hooks(plugin)
            self.manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError, PluginError) as error:
            self._report(name, distribution, error)
            return
        self.distributions[name] = distribution
        for hook, kind in HOOK_KINDS.items():
            implementation = getattr(plugin, hook, None)
            if implementation is None:
                continue
            try:
                specs = list(implementation())
            except Exception as error:
                self._report(name, distribution, error, f"{hook}() failed: ")
                continue
            for spec in specs:
                self._add(kind, spec, name, distribution)

    def spec(self, kind: str, name: str) -> Any:
        """Return the spec of this ``kind`` under ``name``; a bare name means its default tag.

        Raises:
            UnknownNameError: nothing is registered under it; the closest name is suggested.
            PluginError: two plugins declare it.
        """
        hint = BUNDLED.get(name.split(".")[0], "")
        registry = self._registry(kind)
        if hint and not registry.knows(name) and hint not in {d.split()[0] for d in self.distributions.values()}:
            return registry.get(name, hint=f"It comes with {hint}: pip install {hint}")
        return registry.get(name)

    def specs(self, kind: str) -> list[Any]:
        """Return all specs of a ``kind``, by name."""
        return self._registry(kind).specs()

    def owner(self, kind: str, name: str) -> str:
        """Return the distribution that declares ``name``."""
        return self._registry(kind).owner(name)

    def knows(self, kind: str, name: str) -> bool:
        """Say whether ``name`` stands for something of this ``kind``."""
        return self._registry(kind).knows(name)

    def declare(self, spec: Spec, distribution: str) -> None:
        """Add a spec that no plugin declares, unless it is declared already.

        Raises:
            PluginError: another one is declared under its name.
        """
        registry = self._registry(spec.kind)
        if not registry.knows(spec.name) or registry.get(spec.name) != spec:
            clash = registry.add(spec, distribution)
            if clash:
                raise PluginError(f"{clash[0].upper()}{clash[1:]}.")

    def weights(self, names: Iterable[str]) -> list[WeightSpec]:
        """Return the declared weights files under these names."""
        return [self.spec("weights", name) for name in names]

    def add_commands(self, cli: click.Group) -> None:
        """Let every plugin add its commands; one that fails is reported and skipped."""
        for name, plugin in self.manager.list_name_plugin():
            implementation = getattr(plugin, "faceinv_commands", None)
            if implementation is not None:
                try:
                    implementation(cli=cli)
                except Exception as error:
                    self._report(name, self.distributions[name], error, "faceinv_commands() failed: ")

    def _load_entry_points(self) -> None:
        for point in sorted(importlib.metadata.entry_points(group=GROUP), key=lambda point: point.name):
            # Read once: each look at a distribution's name parses the whole of its metadata.
            metadata = point.dist.metadata if point.dist else None
            name = metadata["Name"] if metadata else "unknown distribution"
            distribution = f"{name} {metadata['Version']}" if metadata else name
            if {point.name, name} & self._blocked:
                self._unused_blocks -= {point.name, name}
                continue
            try:
                plugin = point.load()
            except Exception as error:
                self._report(point.name, distribution, error, f"importing {point.value} failed: ")
                continue
            self.register(plugin, point.name, distribution)

    def _load_path(self, path: Path) -> None:
        if not path.exists():
            raise UsageError(f"--plugin {path}: there is no such file or folder.")
        if path.is_file() and path.suffix != ".py":
            raise UsageError(
                f"--plugin {path}: a plugin is a .py file, or a folder with pyproject.toml or __init__.py."
            )
        for name, load in _plugins_at(path):
            try:
                plugin = load()
            except Exception as error:
                self._report(name, str(path), error, "importing it failed: ")
                continue
            self.register(plugin, name, str(path))

    def _add(self, kind: str, spec: object, name: str, distribution: str) -> None:
        expected = WeightSpec if kind == "weights" else Spec
        if not isinstance(spec, expected) or (isinstance(spec, Spec) and spec.kind != kind):
            self._report(name, distribution, PluginError(f"declares {spec!r} where a spec of kind '{kind}' is due"))
            return
        clash = self.registries[kind].add(spec, distribution)
        if clash:
            self._report(name, distribution, PluginError(clash))

    def _registry(self, kind: str) -> Registry[Any]:
        if kind == "loss":
            self._add_probe_losses()
        return self.registries[kind]

    def _add_probe_losses(self) -> None:
        """Make a loss of every probe whose attribute can be measured, unless a plugin made its own."""
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


def _check_hooks(plugin: object) -> None:
    """Reject a misspelt hook, and a hook that lacks its marker: pluggy would ignore both."""
    known = {name for name in vars(hookspecs) if name.startswith("faceinv_")}
    for name in dir(plugin):
        if not name.startswith("faceinv_") or not callable(getattr(plugin, name)):
            continue
        if name not in known:
            raise PluginError(f"unknown hook '{name}'.{suggest(name, known)}")
        if not hasattr(getattr(plugin, name), "faceinv_impl"):
            raise PluginError(f"'{name}' is not marked with @faceinv.hookimpl")


def _plugins_at(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield (name, loader) of every plugin in a file, a package folder, or a source distribution."""
    project = path / "pyproject.toml"
    if path.is_dir() and project.is_file():
        import tomllib

        declared = tomllib.loads(project.read_text()).get("project", {}).get("entry-points", {}).get(GROUP, {})
        if not declared:
            raise UsageError(f'--plugin {path}: its pyproject.toml has no [project.entry-points."{GROUP}"].')
        source = str(path / "src" if (path / "src").is_dir() else path)
        if source not in sys.path:
            sys.path.insert(0, source)
        for name, value in declared.items():
            yield name, lambda value=value: _load_object(value)
        return
    if path.is_dir() and not (path / "__init__.py").is_file():
        raise UsageError(f"--plugin {path}: the folder has neither pyproject.toml nor __init__.py.")
    yield path.stem, lambda: _load_module(path)


def _load_object(value: str) -> object:
    module, _, attribute = value.partition(":")
    loaded: object = importlib.import_module(module)
    for part in filter(None, attribute.split(".")):
        loaded = getattr(loaded, part)
    return loaded


def _load_module(path: Path) -> ModuleType:
    """Import a file or package folder under its own stem, so that ``target`` strings can name it."""
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
        raise PluginError("it cannot be read as a Python module")
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
