"""Images of latents and their descriptors, on the CPU and without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.hardware import sent


def images_of(preparation: Preparation, latents: Tensor) -> Tensor:
    """Return the generator's images ``(B, 3, H, W)`` of latents."""
    with torch.inference_mode():
        return _rendered(preparation, latents).float().cpu()


def descriptors_of(preparation: Preparation, latents: Tensor) -> Tensor:
    """Return the descriptors ``(B, D)`` of the generator's images of latents, by the preparation's encoder."""
    with torch.inference_mode():
        found: Tensor = preparation.encoder(_rendered(preparation, latents))
    return found.float().cpu()


def _rendered(preparation: Preparation, latents: Tensor) -> Tensor:
    loader = preparation.loader
    images: Tensor = preparation.generator.network(sent(latents, loader.device, loader.dtype), preparation.space)
    return images
