"""Subjects of checks: declared objects, built as a run builds them, and plugins as a whole."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from faceinv.contracts.data import DatasetContext
from faceinv.contracts.specs import Framing, LossSpec, MethodSpec, ReporterSpec, Spec
from faceinv.data.images import write_image
from faceinv.errors import PluginError, UsageError
from faceinv.models.loader import Loader
from faceinv.plugins.host import HOOK_KINDS, Host
from faceinv.plugins.registry import load_target
from faceinv.testing.checks import CHECK_MODULES, NotApplicable
from faceinv.testing.faces import FRAME, draw_faces
from faceinv.testing.watch import changes, connections
from faceinv.weights.store import WeightStore


class _Loader(Loader):
    """A loader that builds one spec from given files, which need not match the pinned hash."""

    def __init__(self, host: Host, store: WeightStore, given: Sequence[Path], name: str, dtype: torch.dtype) -> None:
        super().__init__(host, store, dtype=dtype)
        self._given, self._name = list(given), name

    def paths(self, spec: Spec) -> list[Path]:
        return self._given if self._given and spec.name == self._name else super().paths(spec)

    def hashes(self, spec: Spec) -> dict[str, str]:
        return {} if self._given and spec.name == self._name else super().hashes(spec)


T = TypeVar("T")


class _Memory:
    """Results that several checks of one subject share."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def once(self, what: str, make: Callable[[], T]) -> T:
        """Return what ``make`` returned when it was first called for ``what``."""
        if what not in self._known:
            self._known[what] = make()
        known: T = self._known[what]
        return known


@dataclass(frozen=True)
class Second:
    """The result of building an object a second time under observation.

    Args:
        built: The object, or ``None`` if building failed.
        error: The exception, or ``None``.
        connections: Network addresses that it tried to connect to; all were refused.
        changed: Global state that it changed.
    """

    built: Any
    error: Exception | None
    connections: tuple[str, ...]
    changed: tuple[str, ...]


class Subject(_Memory):
    """One declared object under check.

    Args:
        spec: The declaration.
        host: Host with the plugins that it needs.
        files: Weights files to build it from, in the order of the spec's ``weights``; by default the store's.
        make_files: Function that writes ``files`` into a given folder when they are first needed.
        store: Store that weights are taken from; missing ones are fetched.
        path: Path to open a data set at (``name:PATH``); by default a folder of drawn faces.
    """

    def __init__(
        self,
        spec: Spec,
        host: Host,
        *,
        files: Sequence[Path] = (),
        make_files: Callable[[Path], Sequence[Path]] | None = None,
        store: WeightStore | None = None,
        path: Path | None = None,
    ) -> None:
        super().__init__()
        self.spec: Any = spec
        self.kind, self.name = spec.kind, spec.name
        self.host = host
        self.store = store or WeightStore(host)
        self._files, self._make_files, self._path = files, make_files, path

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}'"

    def __repr__(self) -> str:
        return f"<{self}>"

    @cached_property
    def folder(self) -> Path:
        """A temporary folder, deleted together with the subject."""
        path = tempfile.mkdtemp(prefix="faceinv-check-")
        weakref.finalize(self, shutil.rmtree, path, ignore_errors=True)
        return Path(path)

    @cached_property
    def files(self) -> Sequence[Path]:
        """The weights files to build it from, if not the store's."""
        return self._make_files(self.folder) if self._make_files else self._files

    @cached_property
    def built(self) -> Any:
        """The object, built once and shared by all checks, which must not modify it."""
        return self.build()

    def build(self, dtype: torch.dtype = torch.float32) -> Any:
        """Build a new object as a run would; networks are frozen."""
        loader = self.loader(dtype)
        if self.kind == "encoder":
            return loader.encoder(self.name).network
        if self.kind == "generator":
            return loader.generator(self.name).network
        if self.kind == "detector":
            return loader.detector(self.name)
        if self.kind == "probe":
            return loader.probe(self.name, self.framing)
        if self.kind == "metric":
            return loader.metric(self.name, self.framing)
        factory = load_target(self.spec)
        if self.kind == "protection":
            from faceinv.testing.protection_checks import context

            return factory(context(), **self.spec.options)
        if self.kind == "dataset":
            return self.open()
        if isinstance(self.spec, ReporterSpec):
            try:
                return factory(**self.spec.options)
            except UsageError as error:
                raise NotApplicable(str(error)) from error
        if isinstance(self.spec, MethodSpec):
            return factory(**self.spec.options)
        if isinstance(self.spec, LossSpec):
            from faceinv.testing.chain import loss_context

            return factory(loss_context(self.spec, loader), **self.spec.options)
        raise PluginError(f"A {self.kind} cannot be built for a check.")

    def open(self, limit: int | None = 4, seed: int = 0) -> Any:
        """Build the data set with this limit and seed."""
        files = self.loader().paths(self.spec)
        return load_target(self.spec)(self.path, *files, context=self.context(limit, seed), **self.spec.options)

    @cached_property
    def second(self) -> Second:
        """The object built a second time, with network access refused and global state watched."""
        _ = self.built  # fetches weights and imports modules, which may change global state
        built, error = None, None
        with connections() as attempts, changes() as changed:
            try:
                built = self.build()
            except Exception as raised:
                error = raised
        return Second(built, error, tuple(attempts), tuple(changed))

    @property
    def rebuilt(self) -> Any:
        """The second object.

        Raises:
            Exception: the error of building it.
        """
        if self.second.error is not None:
            raise self.second.error
        return self.second.built

    def loader(self, dtype: torch.dtype = torch.float32) -> Loader:
        """Return a fresh loader."""
        return _Loader(self.host, self.store, self.files, self.name, dtype)

    @cached_property
    def framing(self) -> Framing:
        """The framing of the images to check it with."""
        if self.kind == "generator":
            own: Framing = getattr(self.built, "framing", self.spec.framing)
            return own
        framing: Framing = getattr(self.spec, "framing", FRAME)
        return framing

    @cached_property
    def faces(self) -> torch.Tensor:
        """Two different faces ``(2, 3, H, W)`` in :attr:`framing`."""
        return draw_faces(2, self.framing)

    def context(self, limit: int | None = 4, seed: int = 0) -> DatasetContext:
        """Return the context for building a data set, without a limit if the data set is only valid as a whole."""
        from faceinv.testing.chain import chain

        if self.kind == "dataset" and getattr(load_target(self.spec), "whole", False):
            limit = None

        return DatasetContext(chain().generator, chain().framing, "z", seed, limit)

    @cached_property
    def path(self) -> Path | None:
        """The path to open the data set at: the given one, a folder of drawn faces, or ``None`` if it takes none."""
        if not self.spec.takes_path or self._path is not None:
            return self._path
        folder = self.folder / "faces"
        folder.mkdir()
        for index, face in enumerate(draw_faces(4)):
            write_image(face, folder / f"face-{index}.png")
        return folder


class PluginSubject(_Memory):
    """A plugin as a whole: the module or object with the hooks.

    Args:
        plugin: The module or object.
        name: Its name.
        host: The host that it is registered with.
    """

    kind = "plugin"

    def __init__(self, plugin: Any, name: str, host: Host) -> None:
        super().__init__()
        self.plugin, self.name, self.host = plugin, name, host
        self.spec: Any = None

    def __str__(self) -> str:
        return f"plugin '{self.name}'"

    def __repr__(self) -> str:
        return f"<{self}>"


def subjects_of(
    plugin: Any,
    *,
    host: Host | None = None,
    make_files: dict[str, Callable[[Path], Sequence[Path]]] | None = None,
    paths: dict[str, Path] | None = None,
    store: WeightStore | None = None,
) -> list[Subject | PluginSubject]:
    """Return the plugin itself and all objects that it declares, as subjects of checks.

    Args:
        plugin: A module or object with hooks, installed or not.
        host: Host with the plugins that it needs; by default one with all installed plugins.
        make_files: Object name to a function that writes its weights files; by default the declared files are used.
        paths: Data set name to the path to open.
        store: Store that weights are taken from.

    Raises:
        PluginError: if the plugin cannot be registered, or one of its hooks fails.
    """
    host = host or Host()
    name = host.manager.get_name(plugin)
    if name is None:
        name = getattr(plugin, "__name__", type(plugin).__name__)
        host.register(plugin, name, f"{name} (not installed)")
    problems = [problem for problem in host.problems if problem.plugin == name]
    if problems:
        raise PluginError(str(problems[0]))
    found: list[Subject | PluginSubject] = [PluginSubject(plugin, name, host)]
    for hook, kind in HOOK_KINDS.items():
        implementation = getattr(plugin, hook, None)
        if implementation is None or kind not in CHECK_MODULES:
            continue
        found += [
            Subject(
                host.spec(kind, spec.name),
                host,
                make_files=(make_files or {}).get(spec.name),
                store=store,
                path=(paths or {}).get(spec.name),
            )
            for spec in implementation()
        ]
    # A measurable probe is also a loss, which is checked too.
    probes = [item.spec for item in found if isinstance(item, Subject) and getattr(item.spec, "measurable", False)]
    declared = {subject.name for subject in found if subject.kind == "loss"}
    found += [
        Subject(host.spec("loss", probe.name), host, store=store) for probe in probes if probe.name not in declared
    ]
    return found
