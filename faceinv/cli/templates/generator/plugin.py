"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import Framing, GeneratorSpec

#: Size of the images, and the mean position of five points, in [0, 1] from the left and from the top: the eye on
#: the image's left, the eye on its right, the nose tip, the mouth corners on the left and on the right.
FRAMING = Framing(
    name="my-template-frame",
    size=(64, 64),
    points=((0.35, 0.45), (0.65, 0.45), (0.50, 0.62), (0.38, 0.78), (0.62, 0.78)),
)


@hookimpl
def faceinv_generators() -> list[GeneratorSpec]:
    """Declare the generator."""
    return [
        GeneratorSpec(
            name="my-template",
            summary="A small network with random weights",
            target="my_template.generator:MyGenerator",
            licence="LICENCE",
            framing=FRAMING,
            spaces=("z",),
        )
    ]
