"""Images of latents and their descriptors, on the CPU and without gradients."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.hardware import sent


def images_of(preparation: Preparation, latents: Tensor) -> Tensor:
    """Return the generator's images ``(B, 3, H, W)`` of latents."""
    loader = preparation.loader
    with torch.inference_mode():
        images: Tensor = preparation.generator.network(sent(latents, loader.device, loader.dtype), preparation.space)
    return images.float().cpu()


def descriptors_of(preparation: Preparation, latents: Tensor) -> Tensor:
    """Return the descriptors ``(B, D)`` of the generator's images of latents, by the preparation's encoder."""
    loader = preparation.loader
    with torch.inference_mode():
        images = preparation.generator.network(sent(latents, loader.device, loader.dtype), preparation.space)
        found: Tensor = preparation.encoder(images)
    return found.float().cpu()
