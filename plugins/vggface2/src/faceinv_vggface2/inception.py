"""Inception-ResNet-v1 trained on VGGFace2, from the file published by facenet-pytorch."""

from __future__ import annotations

from pathlib import Path

import torch
from faceinv_facenet.inception_resnet_v1 import InceptionResnetV1
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.weights import load_strictly, read_tensors


class VggFace2Inception(nn.Module):
    """Inception-ResNet-v1: 160×160 faces to unit-length 512-d descriptors."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = InceptionResnetV1(512)

    def forward(self, images: Tensor) -> Tensor:
        """Return unit descriptors ``(B, 512)`` of images ``(B, 3, 160, 160)`` RGB in ``[0, 1]``."""
        check_images(images, (160, 160))
        # On 8-bit values: (v - 127.5) / 128.
        return F.normalize(self.trunk(images * (255 / 128) - 127.5 / 128))


def inception(path: Path, *, name: str, fold: bool = True) -> VggFace2Inception:
    """Return the frozen network with the weights of facenet-pytorch's file.

    Args:
        path: State dict, with or without the classifier ``logits``.
        name: The encoder's name, for messages.
        fold: Fold batch normalisation into the convolutions.

    Raises:
        WeightsError: if the file cannot be read, names code, or is of another network.
    """
    with torch.device("meta"):
        network = VggFace2Inception()
    load_strictly(network.trunk, read_tensors(path), network=name, ignore=("logits.*",))
    network.eval().requires_grad_(False)
    if fold:
        network.trunk.fold()
    return network.to(memory_format=torch.channels_last)
