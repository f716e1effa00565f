"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, WeightSpec

#: VGGFace2's test crop (Cao et al., section V): the MTCNN box enlarged by 0.3, its shorter side resized to 256, then
#: the middle 224. The five points are the medians of 90 faces detected by MTCNN in photographs.
_VGGFACE2 = Framing(
    name="vggface2-224",
    size=(224, 224),
    points=((0.299, 0.369), (0.701, 0.369), (0.500, 0.601), (0.320, 0.808), (0.680, 0.808)),
)

#: FaceNet's training crop, which this network was also trained on; the facenet plugin explains its points.
_FACENET = Framing(
    name="facenet-160",
    size=(160, 160),
    points=((0.327, 0.406), (0.673, 0.406), (0.500, 0.570), (0.347, 0.716), (0.653, 0.716)),
)

_CAO = "Cao, Shen, Xie, Parkhi, Zisserman: VGGFace2, FG 2018, arXiv:1710.08092"
_NOT_STATED = "none stated; VGGFace2's photographs were for non-commercial research and have been withdrawn"
_PARKHI = "Parkhi, Vedaldi, Zisserman: Deep Face Recognition, BMVC 2015"
_ALBANIE = "https://www.robots.ox.ac.uk/~albanie/models/pytorch-mcn"

_TAGS = {
    "ft": "pre-trained on MS-Celeb-1M, fine-tuned on VGGFace2",
    "scratch": "trained on VGGFace2 only",
}


@hookimpl
def faceinv_encoders() -> list[EncoderSpec]:
    resnets = [
        EncoderSpec(
            name=f"vggface2.{network}-{tag}",
            summary=f"{title} {how}, pool5, 2,048-d",
            target="faceinv_vggface2.resnet50:resnet50",
            licence="MIT",
            weights_licence=_NOT_STATED,
            citation=_CAO,
            weights=(f"vggface2.{network}-{tag}/pth",),
            default=(network, tag) == ("resnet50", "ft"),
            options={"gate": network == "senet50", "name": f"vggface2.{network}-{tag}"},
            dim=2048,
            framing=_VGGFACE2,
        )
        for network, title in (("resnet50", "ResNet-50"), ("senet50", "SE-ResNet-50"))
        for tag, how in _TAGS.items()
    ]
    return [
        *resnets,
        EncoderSpec(
            name="vggface2.inception-resnet-v1",
            summary="FaceNet's Inception-ResNet-v1 trained on VGGFace2, 512-d",
            target="faceinv_vggface2.inception:inception",
            licence="MIT",
            weights_licence="MIT (facenet-pytorch); VGGFace2's photographs have been withdrawn",
            citation=f"Tim Esler: facenet-pytorch; David Sandberg: facenet; {_CAO}",
            weights=("vggface2.inception-resnet-v1/pt",),
            options={"name": "vggface2.inception-resnet-v1"},
            dim=512,
            framing=_FACENET,
            unit_length=True,
        ),
        EncoderSpec(
            name="vggface.vgg16",
            summary="VGG-Face's VGG-16, fc7, 4,096-d",
            target="faceinv_vggface2.vgg16:vgg16",
            licence="MIT",
            weights_licence="non-commercial research only, with attribution (CC BY)",
            citation=_PARKHI,
            weights=("vggface.vgg16/pth",),
            default=True,
            options={"name": "vggface.vgg16"},
            dim=4096,
            framing=_VGGFACE2,
        ),
    ]


#: Tensors that distinguish the networks' files; SE-ResNet-50 also has all names of ResNet-50.
_RESNET50 = {"conv1_7x7_s2.weight": (64, 3, 7, 7), "conv5_3_1x1_increase.weight": (2048, 512, 1, 1)}
_SENET50 = {**_RESNET50, "conv5_3_1x1_up.weight": (2048, 128, 1, 1)}


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    resnets = [
        WeightSpec(
            name=f"vggface2.{network}-{tag}/pth",
            filename=f"{network}_{tag}_dag.pth",
            sha256="",
            sources=(f"{_ALBANIE}/{network}_{tag}_dag.pth",),
            licence=_NOT_STATED,
            origin=f"Visual Geometry Group, Oxford: {how}; converted from Caffe by Samuel Albanie",
            fingerprint=_SENET50 if network == "senet50" else _RESNET50,
        )
        for network in ("resnet50", "senet50")
        for tag, how in _TAGS.items()
    ]
    return [
        *resnets,
        WeightSpec(
            name="vggface2.inception-resnet-v1/pt",
            filename="20180402-114759-vggface2.pt",
            sha256="281cebca8662831adb987a874bdcb36e73f5b1c6dc5ee5878f305e985625d99b",
            sources=(
                "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt",
            ),
            licence="MIT (facenet-pytorch)",
            size=111_898_327,
            origin="David Sandberg's FaceNet on VGGFace2, converted by Tim Esler",
            fingerprint={"repeat_2.9.conv2d.weight": (896, 256, 1, 1), "last_linear.weight": (512, 1792)},
        ),
        WeightSpec(
            name="vggface.vgg16/pth",
            filename="vgg_face_dag.pth",
            sha256="",
            sources=(f"{_ALBANIE}/vgg_face_dag.pth",),
            licence="non-commercial research only, with attribution (CC BY)",
            origin="Visual Geometry Group, Oxford, on 2.6 million photographs; converted by Samuel Albanie",
            fingerprint={"conv5_3.weight": (512, 512, 3, 3), "fc6.weight": (4096, 25088)},
        ),
    ]
