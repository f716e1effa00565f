"""The plugin's declarations."""

from __future__ import annotations

from faceinv import hookimpl
from faceinv.contracts import DetectorSpec, WeightSpec

_PACKAGE = "pypi:facenet-pytorch==2.6.0/facenet_pytorch/data"
_ORIGIN = "Zhang et al. 2016, trained on WIDER FACE and CelebA; converted by the authors of facenet-pytorch"


@hookimpl
def faceinv_detectors() -> list[DetectorSpec]:
    return [
        DetectorSpec(
            name="mtcnn",
            summary="Cascade of three small networks; boxes and five points, for faces from 20 pixels up",
            target="faceinv_mtcnn.detector:build",
            licence="MIT",
            weights_licence="MIT",
            citation="Zhang, Zhang, Li, Qiao: Joint face detection and alignment using multi-task cascaded "
            "convolutional networks, IEEE Signal Processing Letters 2016, doi:10.1109/LSP.2016.2603342",
            weights=("mtcnn/pnet", "mtcnn/rnet", "mtcnn/onet"),
        )
    ]


@hookimpl
def faceinv_weights() -> list[WeightSpec]:
    return [
        WeightSpec(
            name="mtcnn/pnet",
            filename="pnet.pt",
            sha256="a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
            sources=(f"{_PACKAGE}/pnet.pt",),
            licence="MIT",
            size=28570,
            origin=_ORIGIN,
        ),
        WeightSpec(
            name="mtcnn/rnet",
            filename="rnet.pt",
            sha256="bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
            sources=(f"{_PACKAGE}/rnet.pt",),
            licence="MIT",
            size=403147,
            origin=_ORIGIN,
        ),
        WeightSpec(
            name="mtcnn/onet",
            filename="onet.pt",
            sha256="165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d",
            sources=(f"{_PACKAGE}/onet.pt",),
            licence="MIT",
            size=1559269,
            origin=_ORIGIN,
        ),
    ]
