"""The three networks of MTCNN (Zhang et al. 2016, Figure 2), in the widths of the published weights.

All take RGB scaled to about [-1, 1] (``(x - 127.5) / 128`` on 0–255). Each returns the probability
of a face and the offsets of the box's four edges (left, top, right, bottom) as fractions of its side;
the last one also the five points as fractions of the box.

The parameters bear the names of the published files, so these load as they are.
"""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from faceinv.weights import TensorsError, load_strictly, read_tensors


class ProposalNet(nn.Module):
    """First stage: fully convolutional, one 12×12 window every two pixels."""

    window = 12
    stride = 2

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 10, 3)
        self.prelu1 = nn.PReLU(10)
        self.conv2 = nn.Conv2d(10, 16, 3)
        self.prelu2 = nn.PReLU(16)
        self.conv3 = nn.Conv2d(16, 32, 3)
        self.prelu3 = nn.PReLU(32)
        self.conv4_1 = nn.Conv2d(32, 2, 1)
        self.conv4_2 = nn.Conv2d(32, 4, 1)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities ``(B, h, w)`` and offsets ``(B, 4, h, w)`` for ``(B, 3, H, W)``, H and W ≥ 12."""
        x = _pool(self.prelu1(self.conv1(pixels)), 2)
        x = self.prelu3(self.conv3(self.prelu2(self.conv2(x))))
        return self.conv4_1(x).softmax(1)[:, 1], self.conv4_2(x)


class RefineNet(nn.Module):
    """Second stage: rejects most of what the first one proposed."""

    window = 24

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 28, 3)
        self.prelu1 = nn.PReLU(28)
        self.conv2 = nn.Conv2d(28, 48, 3)
        self.prelu2 = nn.PReLU(48)
        self.conv3 = nn.Conv2d(48, 64, 2)
        self.prelu3 = nn.PReLU(64)
        self.dense4 = nn.Linear(576, 128)
        self.prelu4 = nn.PReLU(128)
        self.dense5_1 = nn.Linear(128, 2)
        self.dense5_2 = nn.Linear(128, 4)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities ``(B,)`` and offsets ``(B, 4)`` for ``(B, 3, 24, 24)``."""
        x = _pool(self.prelu1(self.conv1(pixels)), 3)
        x = _pool(self.prelu2(self.conv2(x)), 3)
        x = self.prelu4(self.dense4(_flatten(self.prelu3(self.conv3(x)))))
        return self.dense5_1(x).softmax(1)[:, 1], self.dense5_2(x)


class OutputNet(nn.Module):
    """Third stage: the final box and the five points."""

    window = 48

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.prelu1 = nn.PReLU(32)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.prelu2 = nn.PReLU(64)
        self.conv3 = nn.Conv2d(64, 64, 3)
        self.prelu3 = nn.PReLU(64)
        self.conv4 = nn.Conv2d(64, 128, 2)
        self.prelu4 = nn.PReLU(128)
        self.dense5 = nn.Linear(1152, 256)
        self.prelu5 = nn.PReLU(256)
        self.dense6_1 = nn.Linear(256, 2)
        self.dense6_2 = nn.Linear(256, 4)
        self.dense6_3 = nn.Linear(256, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return probabilities ``(B,)``, offsets ``(B, 4)`` and points ``(B, 5, 2)`` for ``(B, 3, 48, 48)``."""
        x = _pool(self.prelu1(self.conv1(pixels)), 3)
        x = _pool(self.prelu2(self.conv2(x)), 3)
        x = _pool(self.prelu3(self.conv3(x)), 2)
        x = self.prelu5(self.dense5(_flatten(self.prelu4(self.conv4(x)))))
        # The file stores five x, then five y.
        points = self.dense6_3(x).view(-1, 2, 5).transpose(1, 2)
        return self.dense6_1(x).softmax(1)[:, 1], self.dense6_2(x), points


def load_into(network: nn.Module, file: Path) -> None:
    """Fill ``network`` with the tensors of ``file``, a state dict; no code in it is run.

    Raises:
        WeightsError: the file cannot be read, or its tensors are not this network's.
    """
    try:
        load_strictly(network, read_tensors(file), network=f"mtcnn {type(network).__name__}")
    except TensorsError as error:
        raise TensorsError(f"{file}: {error}", error.shapes) from None


def _pool(x: Tensor, size: int) -> Tensor:
    # Caffe, in which the networks were trained, rounds the pooled size up.
    return nn.functional.max_pool2d(x, size, 2, ceil_mode=True)


def _flatten(x: Tensor) -> Tensor:
    # Caffe's Matlab interface stores columns first: the dense weights expect (width, height, channel).
    return x.transpose(1, 3).flatten(1)
