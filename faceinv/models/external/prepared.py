"""A user's network behind the contract of an encoder: RGB images in [0, 1] in, descriptors out."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.models.external.facts import SCALINGS, Facts


class Prepared(nn.Module):
    """A network that gets its images in the order of colours and the range that it was trained on.

    Args:
        network: The network.
        facts: What it wants.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, facts: Facts) -> None:
        super().__init__()
        self.network = network
        self._flipped = facts.colour == "bgr"
        self._unit_length = facts.unit_length
        self._per_image = facts.scaling == "per-image" and not facts.mean
        factor, shift = SCALINGS[facts.scaling]
        scale = 1 / torch.tensor(facts.std) if facts.mean else torch.full((3,), factor)
        moved = -torch.tensor(facts.mean) * scale if facts.mean else torch.full((3,), shift)
        # Means are given for red, green and blue.
        self.register_buffer("scale", scale.view(1, 3, 1, 1))
        self.register_buffer("shift", moved.view(1, 3, 1, 1))

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, dim)`` of images ``(B, 3, H, W)`` RGB in ``[0, 1]``."""
        x = images * self.scale + self.shift
        if self._per_image:
            # As FaceNet's prewhitening, on values from 0 to 255.
            x = 255 * x
            least = 1 / math.sqrt(x[0].numel())
            spread = x.flatten(1).std(1, correction=0).clamp(min=least)
            x = (x - x.mean((1, 2, 3), keepdim=True)) / spread.view(-1, 1, 1, 1)
        if self._flipped:
            x = x.flip(1)
        descriptors: Tensor = self.network(x)
        return F.normalize(descriptors) if self._unit_length else descriptors


def standing(module: nn.Module) -> nn.Module:
    """Return a module frozen in evaluation mode."""
    return module.eval().requires_grad_(False)
