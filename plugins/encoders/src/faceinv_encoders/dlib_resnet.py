"""The face recognition network of dlib: a ResNet of 29 convolutions (King 2017), for 150×150 faces.

Where it differs from other ResNets: strided convolutions are not padded, a shortcut that halves the map is an average
pooling, and where a shortcut and its branch differ in size or channels, the smaller one counts as zero beyond its end.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.weights import load_strictly
from faceinv_encoders.dlib_file import read_dlib

#: Channels and stride of each block, in the order of the computation.
_WIDTHS = (
    *((32, 1), (32, 1), (32, 1)),
    *((64, 2), (64, 1), (64, 1), (64, 1)),
    *((128, 2), (128, 1), (128, 1)),
    *((256, 2), (256, 1), (256, 1), (256, 2)),
)

#: Mean of the training images, RGB on 8-bit values (``input_rgb_image_sized``); its unit is 1/256.
_MEAN = (122.782, 117.001, 104.298)


class Block(nn.Module):
    """Two 3×3 convolutions and a shortcut.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: 1, or 2 to halve the map.
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=0 if stride == 2 else 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y: Tensor = self.conv2(F.relu(self.conv1(x)))
        if self.stride == 1:
            return F.relu(x + y)
        x = F.avg_pool2d(x, 2)
        rows, channels = x.shape[2] - y.shape[2], y.shape[1] - x.shape[1]
        return F.relu(F.pad(x, (0, 0, 0, 0, 0, channels)) + F.pad(y, (0, rows, 0, rows)))


class DlibResNet(nn.Module):
    """dlib's network: 150×150 faces to descriptors of length 128, not normalised."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 7, 2)
        widths = [32, *(width for width, _ in _WIDTHS)]
        blocks = [Block(widths[i], width, stride) for i, (width, stride) in enumerate(_WIDTHS)]
        self.blocks = nn.Sequential(*blocks)
        self.embedding = nn.Linear(256, 128, bias=False)
        self.register_buffer("mean", torch.tensor(_MEAN, device="cpu").view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 128)`` of images ``(B, 3, 150, 150)`` RGB in ``[0, 1]``."""
        check_images(images, (150, 150))
        x = ((images * 255 - self.mean) / 256).contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        x = self.blocks(x)
        descriptors: Tensor = self.embedding(x.mean((2, 3)))
        return descriptors


def dlib_resnet(path: Path) -> DlibResNet:
    """Return the frozen network with the weights of ``dlib_face_recognition_resnet_model_v1.dat``.

    Raises:
        WeightsError: if the file is not a network of dlib, is damaged, or is of another network.
    """
    with torch.device("meta"):
        network = DlibResNet()
    load_strictly(network, dict(_folded(read_dlib(path))), network="dlib.resnet", names=dict(_names()))
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _names() -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, the file's)."""
    layers = ["conv1", *(f"blocks.{i}.conv{j}" for i in range(len(_WIDTHS)) for j in (1, 2))]
    for i, layer in enumerate(layers):
        yield f"{layer}.weight", f"con{i}.weight"
        yield f"{layer}.bias", f"con{i}.bias"
    yield "embedding.weight", "fc0.weight"


def _folded(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with each affine layer folded into the convolution before it, of which it is the scale."""
    for name, tensor in tensors.items():
        layer, field = name.split(".")
        affine = layer.replace("con", "affine")
        if layer.startswith("affine"):
            continue
        gamma, beta = tensors.get(f"{affine}.gamma"), tensors.get(f"{affine}.beta")
        if not layer.startswith("con") or gamma is None or beta is None or len(gamma) != len(tensor):
            yield name, tensor
        elif field == "weight":
            yield name, tensor * gamma.view(-1, 1, 1, 1)
        else:
            yield name, tensor * gamma + beta
