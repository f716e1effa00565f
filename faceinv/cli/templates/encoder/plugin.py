"""The declarations of this plugin."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing

#: The crop that the network expects: its size, and the mean position of five points, in [0, 1] from the left and
#: from the top: the eye on the image's left, the eye on its right, the nose tip, the mouth corners on the left and
#: on the right.
CROP = Framing(
    name="my-template-crop",
    size=(112, 112),
    points=((0.34, 0.46), (0.66, 0.46), (0.50, 0.64), (0.37, 0.82), (0.63, 0.82)),
)


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    """Declare the encoder."""
    return [
        EncoderSpec(
            name="my-template",
            summary="A small network with random weights",
            target="my_template.network:Network",
            licence="LICENCE",
            dim=128,
            framing=CROP,
            unit_length=True,
        )
    ]
