"""The probe: an attribute and its measurement on an image."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts import Framing, Probe


class MyProbe(Probe):
    """Mean brightness of the left and the right half of the image, 0 to 1: the direction of the light.

    Args:
        framing: Framing of the images; unused by this attribute.
    """

    shape = (2,)

    def __init__(self, *, framing: Framing) -> None:
        self.framing = framing

    def label(self, images: Tensor) -> Tensor:
        """Return the true attribute ``(B, 2)``, which is here the measured one."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, 2)``, differentiable in ``images`` ``(B, 3, H, W)``."""
        middle = images.shape[3] // 2
        halves = images[..., :middle], images[..., middle:]
        return torch.stack([half.mean((1, 2, 3)) for half in halves], 1)

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the mean absolute error in grey levels of 255, ``(B,)``."""
        return 255 * (predicted - truth).abs().mean(1)
