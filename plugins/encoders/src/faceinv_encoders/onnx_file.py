"""Networks that are published as ONNX files, read without running anything in them."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.models import OnnxNetwork, onnx_network


class OnnxEncoder(nn.Module):
    """An ONNX network behind the pixel values that it was trained on.

    Args:
        network: The network.
        mean: Subtracted from the 8-bit values.
        std: Their unit after that.
    """

    def __init__(self, network: OnnxNetwork, mean: float, std: float) -> None:
        super().__init__()
        self.network = network
        self._scale, self._shift = 255 / std, mean / std

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, dim)`` of images ``(B, 3, H, W)`` RGB in ``[0, 1]``."""
        check_images(images, self.network.size)
        x = (images * self._scale - self._shift).contiguous(memory_format=torch.channels_last)
        descriptors: Tensor = self.network(x)
        return descriptors


def onnx_encoder(path: Path, *, mean: float = 0.0, std: float = 1.0) -> OnnxEncoder:
    """Return the frozen network of an ONNX file, which takes RGB.

    Args:
        path: The file.
        mean: Subtracted from the 8-bit values.
        std: Their unit after that.

    Raises:
        WeightsError: if the file is not an ONNX file of such a network, or is damaged.
    """
    return OnnxEncoder(onnx_network(path), mean, std).eval().requires_grad_(False)
