"""One function per kind that runs every check on a declared object and raises one error with all failures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faceinv.contracts.protection_specs import ProtectionSpec
from faceinv.contracts.specs import (
    DatasetSpec,
    DetectorSpec,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    MethodSpec,
    MetricSpec,
    ProbeSpec,
    ReporterSpec,
    Spec,
)
from faceinv.plugins.host import Host
from faceinv.testing.conformance import check_all
from faceinv.testing.subjects import PluginSubject, Subject


def check_encoder(spec: EncoderSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check an encoder: its declaration, and that its network keeps the contract.

    Args:
        spec: The declaration.
        files: Weights files to build it from, in the order of ``spec.weights``; by default they are fetched.
        host: Host with the plugins that it needs; by default one with all installed plugins.

    Raises:
        CheckFailed: if at least one check fails; the message lists each with its meaning and how to fix it.
        WeightsError: if it cannot be built because its weights are missing.
    """
    _check(spec, files=files, host=host)


def check_generator(spec: GeneratorSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a generator; arguments and errors as for :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_probe(spec: ProbeSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a probe, and its loss if it is measurable; arguments and errors as for :func:`check_encoder`."""
    host = _check(spec, files=files, host=host)
    if spec.measurable:
        check_all(Subject(host.spec("loss", spec.name), host))


def check_loss(spec: LossSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a loss; arguments and errors as for :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_method(spec: MethodSpec, *, host: Host | None = None) -> None:
    """Check a method; arguments and errors as for :func:`check_encoder`."""
    _check(spec, host=host)


def check_metric(spec: MetricSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a metric; arguments and errors as for :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_dataset(spec: DatasetSpec, *, path: Path | None = None, host: Host | None = None) -> None:
    """Check a data set.

    Args:
        spec: The declaration.
        path: Path to open, if it takes one; by default a folder of drawn faces.
        host: Host with the plugins that it needs; by default one with all installed plugins.

    Raises:
        CheckFailed: if at least one check fails.
    """
    _check(spec, path=path, host=host)


def check_detector(spec: DetectorSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a face detector; arguments and errors as for :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_protection(spec: ProtectionSpec, *, host: Host | None = None) -> None:
    """Check a protection of descriptors; arguments and errors as for :func:`check_encoder`."""
    _check(spec, host=host)


def check_reporter(spec: ReporterSpec, *, host: Host | None = None) -> None:
    """Check a reporter of runs; arguments and errors as for :func:`check_encoder`."""
    _check(spec, host=host)


def check_plugin(plugin: Any, *, host: Host | None = None) -> None:
    """Check a plugin as a whole: the module or object with the hooks, without the objects that it declares.

    Args:
        plugin: The module or object.
        host: Host with the plugins that it needs; by default one with all installed plugins.

    Raises:
        CheckFailed: if at least one check fails.
    """
    host = host or Host()
    name = host.manager.get_name(plugin) or str(getattr(plugin, "__name__", type(plugin).__name__))
    check_all(PluginSubject(plugin, name, host))


def _check(spec: Spec, *, files: Sequence[Path] = (), path: Path | None = None, host: Host | None = None) -> Host:
    host = host or Host()
    host.declare(spec, "the object under check")
    check_all(Subject(spec, host, files=files, path=path))
    return host
