"""The hooks. Each returns declarations or adds commands; none may import torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from pathlib import Path

    import click

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
        WeightSourceSpec,
        WeightSpec,
    )

hookspec = pluggy.HookspecMarker("faceinv")
hookimpl = pluggy.HookimplMarker("faceinv")


@hookspec
def faceinv_encoders() -> list[EncoderSpec]:
    """Declare face recognition networks."""
    raise NotImplementedError


@hookspec
def faceinv_generators() -> list[GeneratorSpec]:
    """Declare face generators."""
    raise NotImplementedError


@hookspec
def faceinv_probes() -> list[ProbeSpec]:
    """Declare attributes and how they are inferred from a descriptor."""
    raise NotImplementedError


@hookspec
def faceinv_losses() -> list[LossSpec]:
    """Declare terms of the objective."""
    raise NotImplementedError


@hookspec
def faceinv_methods() -> list[MethodSpec]:
    """Declare inversion algorithms."""
    raise NotImplementedError


@hookspec
def faceinv_metrics() -> list[MetricSpec]:
    """Declare scores of reconstructions."""
    raise NotImplementedError


@hookspec
def faceinv_datasets() -> list[DatasetSpec]:
    """Declare sources of target images."""
    raise NotImplementedError


@hookspec
def faceinv_detectors() -> list[DetectorSpec]:
    """Declare face detectors, which align photographs of unknown framing."""
    raise NotImplementedError


@hookspec
def faceinv_protections() -> list[ProtectionSpec]:
    """Declare protections: transforms of descriptors before they are stored."""
    raise NotImplementedError


@hookspec
def faceinv_reporters() -> list[ReporterSpec]:
    """Declare reporters, which receive the events of a run, such as experiment trackers."""
    raise NotImplementedError


@hookspec
def faceinv_weights() -> list[WeightSpec]:
    """Declare weights files: name, hash, licence, sources."""
    raise NotImplementedError


@hookspec
def faceinv_weight_sources() -> list[WeightSourceSpec]:
    """Declare ways to fetch weights files, by the scheme of a source."""
    raise NotImplementedError


@hookspec
def faceinv_trained() -> list[Path]:
    """Return folders of what ``faceinv train --export`` wrote: readers and regressors trained ahead of time."""
    raise NotImplementedError


@hookspec
def faceinv_commands(cli: click.Group) -> None:
    """Add commands to the command line."""
    raise NotImplementedError
