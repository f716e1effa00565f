"""The encoder, from images in its own crop to descriptors."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.contracts import check_images


class Network(nn.Module):
    """A small network with random weights; replace it with your own.

    To load weights from a file, declare the file with ``faceinv_weights`` in ``plugin.py`` and name it in the spec;
    its path is then the first argument here.
    """

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # leave the global random state alone
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Conv2d(3, 16, 5, stride=4),
                nn.GELU(),
                nn.Conv2d(16, 32, 3, stride=2),
                nn.GELU(),
                nn.AdaptiveAvgPool2d(6),
                nn.Flatten(),
                nn.Linear(32 * 6 * 6, 128),
            )

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 128)`` of length 1 for RGB images ``(B, 3, 112, 112)`` in ``[0, 1]``."""
        check_images(images, (112, 112))
        # Do the network's own scaling and colour order here, such as images.flip(1) * 255 for BGR in 0–255.
        return nn.functional.normalize(self.layers(images * 2 - 1))
