"""Vision transformers (Dosovitskiy et al., ICLR 2021) trained with the ArcFace loss; the trunk is timm's."""

from __future__ import annotations

from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.weights import load_strictly, read_tensors


class FaceTransformer(nn.Module):
    """Vision transformer: 112×112 faces, in 14×14 patches, to descriptors of length 512, not normalised.

    Args:
        architecture: timm's name of the trunk; its head outputs the descriptor.
    """

    def __init__(self, architecture: str) -> None:
        super().__init__()
        self.trunk = timm.create_model(architecture, pretrained=False, patch_size=8, img_size=112, num_classes=512)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 512)`` of images ``(B, 3, 112, 112)`` RGB in ``[0, 1]``."""
        check_images(images, (112, 112))
        # On 8-bit values: (v - 127.5) / 127.5.
        descriptors: Tensor = self.trunk(images * 2 - 1)
        return descriptors


def vit(path: Path, *, architecture: str, name: str) -> FaceTransformer:
    """Return the frozen network with the weights of a state dict in timm's names.

    Args:
        path: Safetensors, as on the Hugging Face hub, or a PyTorch file.
        architecture: timm's name of the trunk.
        name: The encoder's name, for messages.

    Raises:
        WeightsError: if the file cannot be read, names code, or is of another network.
    """
    with torch.device("meta"):
        network = FaceTransformer(architecture)
    load_strictly(network.trunk, read_tensors(path), network=name)
    return network.eval().requires_grad_(False)
