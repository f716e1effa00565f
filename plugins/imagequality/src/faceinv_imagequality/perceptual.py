"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, version 0.1) on AlexNet's features."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import Comparison, check_images
from faceinv.errors import ShapeError
from faceinv.weights import load_strictly, read_tensors

#: Channels of the five maps that are compared.
CHANNELS = (64, 192, 384, 256, 256)

#: The smallest side of an image that leaves something to the second pooling.
_SMALLEST = 31

#: Mean and standard deviation of ImageNet's pixels as LPIPS has them, for images in [-1, 1].
_MEAN, _STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


class AlexNetFeatures(nn.Module):
    """The five convolutions of AlexNet, as torchvision has it (Krizhevsky 2014, arXiv 1404.5997)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, CHANNELS[0], 11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[1], 5, padding=2)
        self.conv3 = nn.Conv2d(CHANNELS[1], CHANNELS[2], 3, padding=1)
        self.conv4 = nn.Conv2d(CHANNELS[2], CHANNELS[3], 3, padding=1)
        self.conv5 = nn.Conv2d(CHANNELS[3], CHANNELS[4], 3, padding=1)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the five maps after their ReLU ``(B, C, H', W')`` for standardised ``images`` ``(B, 3, H, W)``."""
        first = F.relu(self.conv1(images))
        second = F.relu(self.conv2(F.max_pool2d(first, 3, 2)))
        third = F.relu(self.conv3(F.max_pool2d(second, 3, 2)))
        fourth = F.relu(self.conv4(third))
        return [first, second, third, fourth, F.relu(self.conv5(fourth))]


class PerceptualDistance(nn.Module):
    """LPIPS: how far two images are apart in AlexNet's features, weighted as people judge.

    Args:
        weights: AlexNet's convolutions and the linear heads, named and laid out as by Flax.

    Raises:
        WeightsError: the file is missing, damaged, or holds other tensors.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Path, **_: object) -> None:
        super().__init__()
        with torch.device("meta"):
            self.features = AlexNetFeatures()
            self.heads = nn.ModuleList([nn.Linear(channels, 1, bias=False) for channels in CHANNELS])
        load_strictly(self, read_tensors(weights), network="lpips", names=_flax_names(), convert=_from_flax)
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> Tensor:
        """Return the distance of each pair, ``(B,)``, from 0 up."""
        return self.distance(comparison.reconstruction, comparison.target)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of images ``(B, 3, H, W)`` in ``[0, 1]``, ``(B,)``; equation (1) of the paper.

        Version 0.1 weighs the squared differences of the unit-length features themselves.

        Raises:
            ShapeError: the images differ in shape, or are smaller than 31 pixels.
        """
        check_images(a)
        check_images(b, (a.shape[2], a.shape[3]))
        if min(a.shape[2:]) < _SMALLEST:
            raise ShapeError(
                f"LPIPS needs images of at least {_SMALLEST}x{_SMALLEST} pixels, got {a.shape[2]}x{a.shape[3]}."
            )
        total = a.new_zeros(len(a))
        maps = zip(self.heads, self._maps(a), self._maps(b), strict=True)
        for head, of_a, of_b in maps:
            difference = (_unit_length(of_a) - _unit_length(of_b)).square().mean((2, 3))
            total = total + head(difference).squeeze(1)
        return total

    def _maps(self, images: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.features((2 * images - 1 - self.mean) / self.std)
        return maps


def _unit_length(maps: Tensor) -> Tensor:
    """Scale the features at each place to length 1; where all are 0 they stay 0."""
    return maps / (maps.square().sum(1, keepdim=True).sqrt() + 1e-10)


def _flax_names() -> dict[str, str]:
    names = {f"heads.{index}.weight": f"NetLinLayer_{index}.Conv_0.kernel" for index in range(len(CHANNELS))}
    for index in range(len(CHANNELS)):
        names[f"features.conv{index + 1}.weight"] = f"AlexNet_0.Conv_{index}.kernel"
        names[f"features.conv{index + 1}.bias"] = f"AlexNet_0.Conv_{index}.bias"
    return names


def _from_flax(name: str, tensor: Tensor) -> Tensor:
    """Bring (height, width, inputs, outputs) to PyTorch's order; a head is a 1x1 convolution there."""
    if tensor.ndim != 4:
        return tensor
    tensor = tensor.permute(3, 2, 0, 1)
    return tensor.flatten(1) if name.startswith("heads.") else tensor
