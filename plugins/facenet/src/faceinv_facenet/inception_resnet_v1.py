"""Inception-ResNet-v1 (Szegedy et al., AAAI 2017, figures 10 to 14) as FaceNet uses it.

Differences from the paper's figures, common to all published FaceNet weights: the stem has unpadded convolutions and
80 channels before 192, and the last block has scale 1 and no ReLU. Layers have the names of facenet-pytorch's files,
so these load as they are.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.models import fold_norm

_EPS = 1e-3


class ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    bn: nn.Module

    def __init__(
        self, inputs: int, outputs: int, kernel: int | tuple[int, int], stride: int = 1, *, same: bool = True
    ) -> None:
        super().__init__()
        height, width = (kernel, kernel) if isinstance(kernel, int) else kernel
        padding = (height // 2, width // 2) if same else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H', W')``."""
        return F.relu(self.bn(self.conv(x)), inplace=True)

    def fold(self) -> None:
        """Fold the normalisation into the convolution."""
        assert isinstance(self.bn, nn.BatchNorm2d)
        fold_norm(self.conv, self.bn)
        self.bn = nn.Identity()


class Residual(nn.Module):
    """Parallel branches, concatenated, projected, scaled and added to their input.

    Args:
        width: Channels of input and output.
        branches: The branches, each from ``width`` channels.
        joined: Total channels of the branches.
        scale: Factor of the residual.
        relu: Apply a ReLU to the sum.
    """

    def __init__(self, width: int, branches: list[nn.Module], joined: int, scale: float, relu: bool = True) -> None:
        super().__init__()
        self.branches = [f"branch{i}" for i in range(len(branches))]
        for name, branch in zip(self.branches, branches, strict=True):
            self.add_module(name, branch)
        self.conv2d = nn.Conv2d(joined, width, 1)
        self.scale = scale
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, H, W)`` to the same shape."""
        joined = torch.cat([self.get_submodule(name)(x) for name in self.branches], 1)
        y = torch.add(x, self.conv2d(joined), alpha=self.scale)
        return F.relu(y, inplace=True) if self.relu else y


class Reduction(nn.Module):
    """Parallel branches of stride 2 and a 3×3 max pooling, concatenated; no padding."""

    def __init__(self, branches: list[nn.Module]) -> None:
        super().__init__()
        self.branches = [f"branch{i}" for i in range(len(branches))]
        for name, branch in zip(self.branches, branches, strict=True):
            self.add_module(name, branch)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to ``(B, C', (H - 1) // 2, (W - 1) // 2)``."""
        return torch.cat([*(self.get_submodule(name)(x) for name in self.branches), F.max_pool2d(x, 3, 2)], 1)


def block35(scale: float = 0.17) -> Residual:
    """Return Inception-ResNet-A on 256 channels."""
    branches = [
        ConvNorm(256, 32, 1),
        nn.Sequential(ConvNorm(256, 32, 1), ConvNorm(32, 32, 3)),
        nn.Sequential(ConvNorm(256, 32, 1), ConvNorm(32, 32, 3), ConvNorm(32, 32, 3)),
    ]
    return Residual(256, branches, 96, scale)


def block17(scale: float = 0.10) -> Residual:
    """Return Inception-ResNet-B on 896 channels."""
    branches = [
        ConvNorm(896, 128, 1),
        nn.Sequential(ConvNorm(896, 128, 1), ConvNorm(128, 128, (1, 7)), ConvNorm(128, 128, (7, 1))),
    ]
    return Residual(896, branches, 256, scale)


def block8(scale: float = 0.20, relu: bool = True) -> Residual:
    """Return Inception-ResNet-C on 1,792 channels."""
    branches = [
        ConvNorm(1792, 192, 1),
        nn.Sequential(ConvNorm(1792, 192, 1), ConvNorm(192, 192, (1, 3)), ConvNorm(192, 192, (3, 1))),
    ]
    return Residual(1792, branches, 384, scale, relu)


class InceptionResnetV1(nn.Module):
    """Inception-ResNet-v1: standardised faces to descriptors, before normalisation to unit length.

    Args:
        dim: Length of a descriptor.
    """

    last_bn: nn.Module

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.conv2d_1a = ConvNorm(3, 32, 3, 2, same=False)
        self.conv2d_2a = ConvNorm(32, 32, 3, same=False)
        self.conv2d_2b = ConvNorm(32, 64, 3)
        self.conv2d_3b = ConvNorm(64, 80, 1)
        self.conv2d_4a = ConvNorm(80, 192, 3, same=False)
        self.conv2d_4b = ConvNorm(192, 256, 3, 2, same=False)
        self.repeat_1 = nn.Sequential(*(block35() for _ in range(5)))
        self.mixed_6a = Reduction(
            [
                ConvNorm(256, 384, 3, 2, same=False),
                nn.Sequential(ConvNorm(256, 192, 1), ConvNorm(192, 192, 3), ConvNorm(192, 256, 3, 2, same=False)),
            ]
        )
        self.repeat_2 = nn.Sequential(*(block17() for _ in range(10)))
        self.mixed_7a = Reduction(
            [
                nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 384, 3, 2, same=False)),
                nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 256, 3, 2, same=False)),
                nn.Sequential(ConvNorm(896, 256, 1), ConvNorm(256, 256, 3), ConvNorm(256, 256, 3, 2, same=False)),
            ]
        )
        self.repeat_3 = nn.Sequential(*(block8() for _ in range(5)))
        self.block8 = block8(scale=1.0, relu=False)
        self.last_linear = nn.Linear(1792, dim, bias=False)
        self.last_bn = nn.BatchNorm1d(dim, eps=_EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, dim)`` for standardised RGB ``(B, 3, 160, 160)``."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(x)))
        x = F.max_pool2d(x, 3, 2)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(x)))
        x = self.mixed_6a(self.repeat_1(x))
        x = self.mixed_7a(self.repeat_2(x))
        x = self.block8(self.repeat_3(x))
        descriptors: Tensor = self.last_bn(self.last_linear(x.mean((2, 3))))
        return descriptors

    def fold(self) -> None:
        """Fold every batch normalisation into the layer before it."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()
        assert isinstance(self.last_bn, nn.BatchNorm1d)
        fold_norm(self.last_linear, self.last_bn)
        self.last_bn = nn.Identity()
