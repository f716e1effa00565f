"""DCGAN's generator (Radford, Metz, Chintala 2016, figure 1) at 64x64, folded for inference.

A checkpoint contains five transposed convolutions, four of them followed by batch normalisation. Here each
normalisation is folded into the layer before it, and the first layer, with a 1x1 input, is a matrix product.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import Generator
from faceinv.errors import ShapeError, unknown_name
from faceinv.models import affine_of
from faceinv.weights import NESTS, load_strictly, read_tensors

#: Length of a latent.
LATENT = 100

#: Channels of the maps at 4x4, 8x8, 16x16 and 32x32.
CHANNELS = (512, 256, 128, 64)

#: Keys of the generator in a training checkpoint, which also contains the discriminator and the optimisers.
_NESTS = ("netG_state_dict", *NESTS)


class DCGAN(Generator):
    """DCGAN: latents ``z`` of length 100 to images of 64x64 pixels.

    Args:
        published: The layers of :func:`published_layers`, with weights.
    """

    def __init__(self, published: nn.Sequential) -> None:
        super().__init__()
        layers = list(published)
        first, *middle, last = (layer for layer in layers if isinstance(layer, nn.ConvTranspose2d))
        norms = [layer for layer in layers if isinstance(layer, nn.BatchNorm2d)]
        weight, bias = _folded(first, norms[0])
        # (100, 512, 4, 4): with a 1x1 input, each output pixel is one product with the latent.
        self.project = nn.Linear(LATENT, weight[0].numel(), device="meta")
        _fill(self.project, weight.flatten(1).T, bias.repeat_interleave(weight[0, 0].numel()))
        self.upsample = nn.ModuleList()
        for layer, norm in zip(middle, norms[1:], strict=True):
            folded = nn.ConvTranspose2d(layer.in_channels, layer.out_channels, 4, 2, 1, device="meta")
            _fill(folded, *_folded(layer, norm))
            self.upsample.append(folded)
        self.to_rgb = last

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return ``(100,)``.

        Raises:
            UnknownNameError: if ``space`` is not ``"z"``.
        """
        _check_space(space)
        return (LATENT,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, 100)`` from the standard normal distribution, on the device of ``rng``.

        Raises:
            UnknownNameError: if ``space`` is not ``"z"``.
        """
        _check_space(space)
        return torch.randn(n, LATENT, generator=rng, device=rng.device)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, 64, 64)`` in ``[0, 1]`` for ``latents`` ``(B, 100)``.

        Raises:
            UnknownNameError: if ``space`` is not ``"z"``.
            ShapeError: if the latents have another shape.
        """
        self._check(latents, space)
        maps = F.relu_(self.project(latents)).view(-1, CHANNELS[0], 4, 4)
        for layer in self.upsample:
            maps = F.relu_(layer(maps))
        images: Tensor = (torch.tanh(self.to_rgb(maps)) + 1) / 2
        return images

    def _check(self, latents: Tensor, space: str) -> None:
        _check_space(space)
        if latents.ndim != 2 or latents.shape[1] != LATENT:
            raise ShapeError(f"Latents of the DCGAN are (B, {LATENT}), got {tuple(latents.shape)}.")


def dcgan(checkpoint: Path) -> DCGAN:
    """Return the generator in a PyTorch checkpoint.

    Args:
        checkpoint: A file with the generator's state dict, alone or under ``netG_state_dict``; names may have the
            prefix ``module.`` of ``nn.DataParallel``.

    Raises:
        WeightsError: if the file is missing, is not a checkpoint, or its tensors do not match the network.
    """
    published = nn.Sequential(OrderedDict(main=published_layers()))
    load_strictly(published, read_tensors(checkpoint, nests=_NESTS), network="dcgan.digiface")
    generator = DCGAN(published.main)  # type: ignore[arg-type]  # the Sequential that was put there
    return generator.to(memory_format=torch.channels_last).requires_grad_(False)


def published_layers() -> nn.Sequential:
    """Return the layers of a checkpoint in order, on the ``meta`` device."""
    layers: list[nn.Module] = []
    channels = (LATENT, *CHANNELS)
    with torch.device("meta"):
        for index, (given, made) in enumerate(pairwise(channels)):
            stride, padding = (1, 0) if index == 0 else (2, 1)
            layers += [nn.ConvTranspose2d(given, made, 4, stride, padding, bias=False), nn.BatchNorm2d(made), nn.ReLU()]
        layers += [nn.ConvTranspose2d(channels[-1], 3, 4, 2, 1, bias=False), nn.Tanh()]
    return nn.Sequential(*layers)


def _check_space(space: str) -> None:
    if space != "z":
        raise unknown_name("latent space", space, ("z",))


def _folded(layer: nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the transposed convolution that is equivalent to ``layer`` followed by ``norm``.

    With ``norm(x) = s x + t``: ``weight' = s * weight`` along the outputs, ``bias' = t``. Computed in float64, then
    rounded once.
    """
    scale, shift = affine_of(norm)
    weight = layer.weight.detach().double() * scale.view(1, -1, 1, 1)
    return weight.to(layer.weight.dtype), shift.to(layer.weight.dtype)


def _fill(layer: nn.Linear | nn.ConvTranspose2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight = nn.Parameter(weight.contiguous())
    layer.bias = nn.Parameter(bias)
