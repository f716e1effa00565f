"""Landmark error between target and reconstruction, measured by a network that no loss uses."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import Comparison, Framing
from faceinv_landmarks.networks import load_network
from faceinv_landmarks.probe import FramedLandmarks, interocular_error


class LandmarkError(nn.Module):
    """Mean distance of the 68 landmarks in % of the distance of the target's outer eye corners.

    Args:
        weights: The network "judge".
        framing: Where the face sits in the images.
    """

    def __init__(self, weights: Path, *, framing: Framing) -> None:
        super().__init__()
        self.landmarks = FramedLandmarks(load_network("judge", weights), framing)

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> Tensor:
        """Return the error of each pair, ``(B,)``."""
        return interocular_error(self.landmarks(comparison.reconstruction), self.landmarks(comparison.target))
