"""The three networks of MTCNN (Zhang et al. 2016, figure 2), in the widths of the published weights.

All take RGB scaled to about [-1, 1] (``(x - 127.5) / 128`` on 0–255). Each returns the probability of a face and the
offsets of the four edges of its box (left, top, right, bottom) as fractions of the box's side; the last one also
returns the five points as fractions of the box.

Parameters have the names of the published files, so these load as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from faceinv.weights import TensorsError, load_strictly, read_tensors


class _Stage(nn.Module):
    """Convolutions, then in all but the first network a dense layer, each with a PReLU; then the heads.

    Attributes:
        window: Side of the square that one result is about, in pixels.
        convolutions: Channels, kernel and max-pooling window of each convolution; 0 for no pooling.
        dense: Inputs and outputs of the dense layer, or empty: the heads are then convolutions.
        heads: Number of outputs of each head, the first of which tells background from face.
    """

    window: ClassVar[int]
    convolutions: ClassVar[tuple[tuple[int, int, int], ...]]
    dense: ClassVar[tuple[int, ...]] = ()
    heads: ClassVar[tuple[int, ...]] = (2, 4)

    conv1: nn.Conv2d

    def __init__(self) -> None:
        super().__init__()
        width = 3
        for number, (channels, kernel, _) in enumerate(self.convolutions, 1):
            self.add_module(f"conv{number}", nn.Conv2d(width, channels, kernel))
            self.add_module(f"prelu{number}", nn.PReLU(channels))
            width = channels
        number = len(self.convolutions) + 1
        if self.dense:
            inputs, width = self.dense
            self.add_module(f"dense{number}", nn.Linear(inputs, width))
            self.add_module(f"prelu{number}", nn.PReLU(width))
            self._heads = [f"dense{number + 1}_{i + 1}" for i in range(len(self.heads))]
        else:
            self._heads = [f"conv{number}_{i + 1}" for i in range(len(self.heads))]
        for name, outputs in zip(self._heads, self.heads, strict=True):
            self.add_module(name, nn.Linear(width, outputs) if self.dense else nn.Conv2d(width, outputs, 1))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities and offsets for ``(B, 3, H, W)``: ``(B,)`` and ``(B, 4)``, H and W the window.

        The first network takes any size from the window up and returns ``(B, h, w)`` and ``(B, 4, h, w)``.
        """
        x = pixels
        for number, (_, _, pool) in enumerate(self.convolutions, 1):
            x = self._layer(f"conv{number}", f"prelu{number}", x)
            # Caffe, with which the networks were trained, rounds the pooled size up.
            x = nn.functional.max_pool2d(x, pool, 2, ceil_mode=True) if pool else x
        if self.dense:
            number = len(self.convolutions) + 1
            # Caffe's Matlab interface stores columns first: the dense weights expect (width, height, channel).
            x = self._layer(f"dense{number}", f"prelu{number}", x.transpose(1, 3).flatten(1))
        face, *others = (self.get_submodule(name)(x) for name in self._heads)
        return face.softmax(1)[:, 1], *others

    def _layer(self, name: str, prelu: str, x: Tensor) -> Tensor:
        y: Tensor = self.get_submodule(prelu)(self.get_submodule(name)(x))
        return y


class ProposalNet(_Stage):
    """First network: fully convolutional, one window every two pixels."""

    window = 12
    stride = 2
    convolutions = ((10, 3, 2), (16, 3, 0), (32, 3, 0))


class RefineNet(_Stage):
    """Second network: rejects most of the proposals."""

    window = 24
    convolutions = ((28, 3, 3), (48, 3, 3), (64, 2, 0))
    dense = (576, 128)


class OutputNet(_Stage):
    """Third network: the final box and the five points."""

    window = 48
    convolutions = ((32, 3, 3), (64, 3, 3), (64, 3, 2), (128, 2, 0))
    dense = (1152, 256)
    heads = (2, 4, 10)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Return probabilities ``(B,)``, offsets ``(B, 4)`` and points ``(B, 5, 2)`` for ``(B, 3, 48, 48)``."""
        probabilities, offsets, points = super().forward(pixels)
        # The file stores five x, then five y.
        return probabilities, offsets, points.view(-1, 2, 5).transpose(1, 2)


def load_into(network: nn.Module, file: Path) -> None:
    """Load the state dict in ``file`` into ``network``; nothing in the file is executed.

    Raises:
        WeightsError: if the file cannot be read, or its tensors do not match this network.
    """
    try:
        load_strictly(network, read_tensors(file), network=f"mtcnn {type(network).__name__}")
    except TensorsError as error:
        raise TensorsError(f"{file}: {error}", error.shapes) from None
