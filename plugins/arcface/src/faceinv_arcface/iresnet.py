"""iResNet-50 and -100, the backbones of ArcFace (Deng et al., CVPR 2019; He et al., ECCV 2016).

Layers have the names of the published files (insightface, ``arcface_torch``).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.models import FrozenPReLU, fold_norm, fold_norm_before
from faceinv.weights import load_strictly, read_tensors

#: Layers → blocks of each of the four stages.
DEPTHS = {50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}

WIDTHS = (64, 128, 256, 512)


class Block(nn.Module):
    """Normalisation, convolution, normalisation, PReLU, strided convolution, normalisation; plus the input."""

    bn2: nn.Module
    bn3: nn.Module
    downsample: nn.Module | None

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.prelu = FrozenPReLU(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y: Tensor = self.bn3(self.conv2(self.prelu(self.bn2(self.conv1(self.bn1(x))))))
        shortcut: Tensor = x if self.downsample is None else self.downsample(x)
        return shortcut + y

    def fold(self) -> None:
        """Fold every normalisation that follows a convolution; the first, before a padded convolution, stays."""
        for conv, name in ((self.conv1, "bn2"), (self.conv2, "bn3")):
            norm = getattr(self, name)
            assert isinstance(norm, nn.BatchNorm2d)
            fold_norm(conv, norm)
            setattr(self, name, nn.Identity())
        if isinstance(self.downsample, nn.Sequential):
            projection, norm = self.downsample[0], self.downsample[1]
            assert isinstance(projection, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            self.downsample = fold_norm(projection, norm)


class IResNet(nn.Module):
    """iResNet: 112×112 faces to descriptors of length 512, not normalised.

    Args:
        depth: 50 or 100.
    """

    bn1: nn.Module
    bn2: nn.Module
    features: nn.Module

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.prelu = FrozenPReLU(64)
        inputs = 64
        for number, (width, blocks) in enumerate(zip(WIDTHS, DEPTHS[depth], strict=True), start=1):
            stage = [Block(inputs if i == 0 else width, width, 2 if i == 0 else 1) for i in range(blocks)]
            self.add_module(f"layer{number}", nn.Sequential(*stage))
            inputs = width
        self.bn2 = nn.BatchNorm2d(512)
        self.fc = nn.Linear(512 * 7 * 7, 512)
        self.features = nn.BatchNorm1d(512)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 512)`` of images ``(B, 3, 112, 112)`` RGB in ``[0, 1]``."""
        check_images(images, (112, 112))
        # On 8-bit values: (v - 127.5) / 127.5.
        x = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, 5):
            x = self.get_submodule(f"layer{number}")(x)
        # flatten(1) puts channels first in any memory format, as fc was trained with.
        descriptors: Tensor = self.features(self.fc(self.bn2(x).flatten(1)))
        return descriptors

    def fold(self) -> None:
        """Fold every batch normalisation that is next to a linear layer."""
        for module in self.modules():
            if isinstance(module, Block):
                module.fold()
        assert isinstance(self.bn1, nn.BatchNorm2d)
        assert isinstance(self.bn2, nn.BatchNorm2d)
        assert isinstance(self.features, nn.BatchNorm1d)
        fold_norm(self.conv1, self.bn1)
        fold_norm_before(self.bn2, self.fc)
        fold_norm(self.fc, self.features)
        self.bn1, self.bn2, self.features = nn.Identity(), nn.Identity(), nn.Identity()


def iresnet(path: Path, *, depth: int, name: str, fold: bool = True) -> IResNet:
    """Return the frozen network with the weights of insightface's ``backbone.pth``.

    Args:
        path: State dict, alone or under ``state_dict_backbone``, with or without the prefix ``module.``.
        depth: 50 or 100.
        name: The encoder's name, for messages.
        fold: Fold batch normalisation into its neighbours.

    Raises:
        WeightsError: if the file cannot be read, names code, or is of another network.
    """
    with torch.device("meta"):
        network = IResNet(depth)
    load_strictly(network, read_tensors(path), network=name)
    network.eval()
    if fold:
        network.fold()
    return network.to(memory_format=torch.channels_last).requires_grad_(False)
