"""A chain that runs in milliseconds: tiny encoder, critic, generator, probe and data set, without weights.

For tests, and as an example of how small a plugin can be. Load it with ``Host().register(toy, "toy", "toy 0")`` or
``faceinv --plugin .../faceinv/testing/toy.py``.
"""

from __future__ import annotations

from faceinv.contracts.specs import DatasetSpec, EncoderSpec, Framing, GeneratorSpec, ProbeSpec
from faceinv.plugins.hookspecs import hookimpl

FRAMING = Framing("toy", (16, 16), ((0.35, 0.45), (0.65, 0.45), (0.5, 0.6), (0.38, 0.8), (0.62, 0.8)))


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    """Declare an encoder to attack, and a critic."""
    return [
        EncoderSpec(
            name=f"toy.{tag}",
            summary=f"A fixed random network, seed {seed}",
            target="faceinv.testing.toy_networks:ToyEncoder",
            licence="MIT",
            dim=12,
            framing=FRAMING,
            default=tag == "attacked",
            options={"seed": seed},
        )
        for tag, seed in (("attacked", 1), ("critic", 2))
    ]


@hookimpl
def faceinv_generators() -> list[GeneratorSpec]:
    """Declare a generator with six factors."""
    return [
        GeneratorSpec(
            name="toy-faces",
            summary="Smooth random images with six factors",
            target="faceinv.testing.toy_networks:ToyGenerator",
            licence="MIT",
            framing=FRAMING,
            spaces=("z", "w"),
        )
    ]


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    """Declare a measurable probe, which is also a loss."""
    return [
        ProbeSpec(
            name="brightness",
            summary="Mean of each colour channel",
            target="faceinv.testing.toy_networks:BrightnessProbe",
            licence="MIT",
            measurable=True,
            unit="grey levels",
        )
    ]


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    """Declare held-out samples of the run's generator."""
    return [
        DatasetSpec(
            name="toy-targets",
            summary="Samples of the generator",
            target="faceinv.testing.toy_networks:ToyTargets",
            licence="MIT",
            real=False,
        )
    ]
