"""One function for each kind: every check of a declared object, and one error that lists what failed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faceinv.contracts.specs import (
    DatasetSpec,
    DetectorSpec,
    EncoderSpec,
    GeneratorSpec,
    LossSpec,
    MethodSpec,
    MetricSpec,
    ProbeSpec,
    Spec,
)
from faceinv.plugins.host import Host
from faceinv.testing.conformance import check_all
from faceinv.testing.subjects import PluginSubject, Subject


def check_encoder(spec: EncoderSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check an encoder: what it declares, and that the network behind it keeps the contract.

    Args:
        spec: Its declaration.
        files: Weights files to build it from, in the order of ``spec.weights``; fetched otherwise.
        host: The plugins it lives among; every installed one otherwise.

    Raises:
        CheckFailed: at least one check failed; the text lists each with what it means and how to fix it.
        WeightsError: it cannot be built for want of its weights.
    """
    _check(spec, files=files, host=host)


def check_generator(spec: GeneratorSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a generator; arguments and errors as of :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_probe(spec: ProbeSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a probe, and the loss that it makes if it is measurable; arguments as of :func:`check_encoder`."""
    host = _check(spec, files=files, host=host)
    if spec.measurable:
        check_all(Subject(host.spec("loss", spec.name), host))


def check_loss(spec: LossSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a loss; arguments and errors as of :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_method(spec: MethodSpec, *, host: Host | None = None) -> None:
    """Check a method; arguments and errors as of :func:`check_encoder`."""
    _check(spec, host=host)


def check_metric(spec: MetricSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a metric; arguments and errors as of :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_dataset(spec: DatasetSpec, *, path: Path | None = None, host: Host | None = None) -> None:
    """Check a data set.

    Args:
        spec: Its declaration.
        path: What to open it at, if it takes a path; a folder of drawn faces otherwise.
        host: The plugins it lives among; every installed one otherwise.

    Raises:
        CheckFailed: at least one check failed.
    """
    _check(spec, path=path, host=host)


def check_detector(spec: DetectorSpec, *, files: Sequence[Path] = (), host: Host | None = None) -> None:
    """Check a face detector; arguments and errors as of :func:`check_encoder`."""
    _check(spec, files=files, host=host)


def check_plugin(plugin: Any, *, host: Host | None = None) -> None:
    """Check a plugin as a whole: the module or object with the hooks, not what it declares.

    Args:
        plugin: The module or object.
        host: The plugins it lives among; every installed one otherwise.

    Raises:
        CheckFailed: at least one check failed.
    """
    host = host or Host()
    name = host.manager.get_name(plugin) or str(getattr(plugin, "__name__", type(plugin).__name__))
    check_all(PluginSubject(plugin, name, host))


def _check(spec: Spec, *, files: Sequence[Path] = (), path: Path | None = None, host: Host | None = None) -> Host:
    host = host or Host()
    host.declare(spec, "the object under check")
    check_all(Subject(spec, host, files=files, path=path))
    return host
