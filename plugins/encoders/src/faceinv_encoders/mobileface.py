"""MobileFace (becauseofAI 2018, version 3): 0.5 million weights, nine tenths of them in the last layer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.models import FrozenPReLU
from faceinv.weights import load_strictly
from faceinv_encoders.tfjs import convolution_kernels, read_tfjs

#: Channels of the four stages, each of which halves the map.
_WIDTHS = (32, 32, 64, 128)


class Stage(nn.Module):
    """A projection and three depthwise convolutions; the first halves the map, the others have a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs, outputs, 1, bias=False)
        convolutions = [nn.Conv2d(outputs, outputs, 3, stride, 1, groups=outputs, bias=False) for stride in (2, 1, 1)]
        self.conv = nn.ModuleList(convolutions)
        self.prelu = nn.ModuleList([FrozenPReLU(outputs) for _ in range(3)])

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / 2, W / 2)``."""
        halved: Tensor = self.prelu[0](self.conv[0](self.project(x)))
        y: Tensor = self.prelu[1](self.conv[1](halved))
        y = self.prelu[2](self.conv[2](y))
        return halved + y


class MobileFace(nn.Module):
    """MobileFace: 112×112 faces to descriptors of length 256, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, 1, bias=False)
        self.prelu1 = FrozenPReLU(32)
        widths = (32, *_WIDTHS)
        self.stages = nn.Sequential(*(Stage(widths[i], width) for i, width in enumerate(_WIDTHS)))
        self.embedding = nn.Linear(2048, 256)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 256)`` of images ``(B, 3, 112, 112)`` RGB in ``[0, 1]``."""
        check_images(images, (112, 112))
        # On 8-bit values: (v - 127.5) / 128, which is part of the file's graph.
        x = (images * (255 / 128) - 127.5 / 128).contiguous(memory_format=torch.channels_last)
        x = self.stages(self.prelu1(self.conv1(x)))
        descriptors: Tensor = self.embedding(x.flatten(1))
        return descriptors


def mobileface(manifest: Path, content: Path) -> MobileFace:
    """Return the frozen network with the weights of ``mobileface.json`` and ``mobileface.bin``.

    Raises:
        WeightsError: if the files are not a TensorFlow.js graph model, are damaged, or are of another network.
    """
    with torch.device("meta"):
        network = MobileFace()
    tensors = dict(convolution_kernels(read_tfjs(manifest, content)))
    load_strictly(
        network,
        dict(_embedding(tensors)),
        network="mobileface.v3",
        names=dict(_names()),
        ignore=("*/x", "*/paddings", "*scalar0_second", "flatten/Const"),
    )
    return network.to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _names() -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, the file's)."""
    yield "conv1.weight", "conv1_weight"
    yield "prelu1.weight", "prelu1_gamma"
    for i in range(len(_WIDTHS)):
        ours, theirs = f"stages.{i}", f"stage{i + 1}_unit1"
        yield f"{ours}.project.weight", f"{theirs}_conv0_0_weight"
        for j, kernel in enumerate(("conv0_1_df", "conv1_df", "conv2_df")):
            yield f"{ours}.conv.{j}.weight", f"{theirs}_{kernel}"
            yield f"{ours}.prelu.{j}.weight", f"{theirs}_prelu{j}_gamma"
    yield "embedding.weight", "dense/kernel"
    yield "embedding.bias", "batchnorm0/sub"


def _embedding(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with the last scale folded into the kernel before it, which takes a map channels first."""
    scale = tensors.get("batchnorm0/mul")
    for name, tensor in tensors.items():
        if name == "dense/kernel" and scale is not None and tensor.shape == (2048, len(scale)):
            # The file's map is flattened as (height, width, channels).
            kernel = tensor.reshape(4, 4, 128, -1).permute(3, 2, 0, 1).flatten(1)
            yield name, kernel * scale.view(-1, 1)
        elif name != "batchnorm0/mul":
            yield name, tensor
