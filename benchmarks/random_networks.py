"""Networks in their published shapes with random weights, where the published ones are not there.

Times and memory depend on shapes alone. The weights are drawn so that signals keep their scale from layer to layer: all
precisions then have normal numbers to work on.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from faceinv_arcface import plugin as arcface
from faceinv_arcface.iresnet import IResNet
from faceinv_arcface.mobilefacenet import Convolution, MobileFaceNet
from faceinv_dcgan import plugin as dcgan_plugin
from faceinv_dcgan.generator import DCGAN, published_layers
from faceinv_stylegan2.architecture import Architecture, expected_shapes
from faceinv_stylegan2.generator import StyleGAN2
from faceinv_vggface2 import plugin as vggface2
from faceinv_vggface2.resnet50 import ResNet50
from torch import Tensor, nn

from faceinv.contracts import Generator
from faceinv.framing import warp_between

#: Channels of StyleGAN2 by the side of a block, as published (configuration F).
CHANNELS = {4: 512, 8: 512, 16: 512, 32: 512, 64: 512, 128: 256, 256: 128, 512: 64, 1024: 32}


def filled(network: nn.Module) -> nn.Module:
    """Return a network that was built on the ``meta`` device, frozen, with random weights on the CPU."""
    rng = torch.Generator().manual_seed(0)

    def number(name: str, like: Tensor) -> Tensor:
        if like.ndim > 1:
            return torch.randn(like.shape, generator=rng) * like[0].numel() ** -0.5
        if name.endswith("bias") or name.endswith("running_mean"):
            return torch.zeros(like.shape)
        # Slopes of PReLUs are 0.25 as PyTorch's; weights and variances of normalisations are 1.
        return torch.full(like.shape, 0.25 if "prelu" in name else 1.0)

    tensors = {
        name: number(name, value) if value.is_floating_point() else torch.zeros(value.shape, dtype=value.dtype)
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(tensors, assign=True)
    return network.eval().requires_grad_(False)


def dcgan() -> Generator:
    """Return the DCGAN, 64x64."""
    layers = filled(published_layers())
    assert isinstance(layers, nn.Sequential)
    return DCGAN(layers).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def mobilefacenet() -> nn.Module:
    """Return MobileFaceNet, 112x112 to 192 numbers."""
    with torch.device("meta"):
        network = MobileFaceNet()
    filled(network)
    for layer in network.modules():
        if isinstance(layer, Convolution):
            layer.widen()
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def iresnet(depth: int) -> nn.Module:
    """Return iResNet-50 or -100, 112x112 to 512 numbers, folded."""
    with torch.device("meta"):
        network = IResNet(depth)
    filled(network)
    network.fold()
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def resnet50() -> nn.Module:
    """Return VGGFace2's ResNet-50, 224x224 to 2,048 numbers, folded."""
    with torch.device("meta"):
        network = ResNet50(gate=False)
    filled(network)
    network.fold()
    return network.to(memory_format=torch.channels_last).requires_grad_(False)


def stylegan2(side: int, channels: dict[int, int] = CHANNELS, width: int = 512, layers: int = 8) -> Generator:
    """Return StyleGAN2, ``side`` x ``side``, with ``w+`` as published unless other sizes are given."""
    architecture = Architecture("skip", side, width, width, layers, has_noise=True, has_noise_maps=True)
    sides = {s: channels[s] for s in architecture.resolutions}
    rng = torch.Generator().manual_seed(0)
    tensors: dict[str, Tensor] = {}
    for name, shape in expected_shapes(architecture, [width] * layers, sides).items():
        drawn = torch.randn(shape, generator=rng)
        if name.endswith("affine.bias"):
            drawn = torch.ones(shape)
        elif name.endswith("bias"):
            drawn = torch.zeros(shape)
        elif name.endswith("noise_strength"):
            drawn = torch.full(shape, 0.1)
        elif len(shape) > 1 and not name.endswith((".noise", ".const")):
            drawn *= drawn[0].numel() ** -0.5
        tensors[name] = drawn
    with tempfile.TemporaryDirectory() as folder:
        # The mean of w is cached by its weights, of which these are none that anybody needs again.
        before = os.environ.get("FACEINV_CACHE")
        os.environ["FACEINV_CACHE"] = str(Path(folder))
        try:
            return StyleGAN2(tensors)
        finally:
            os.environ.pop("FACEINV_CACHE")
            if before is not None:
                os.environ["FACEINV_CACHE"] = before


#: Generators by name: what builds them, and their latent space.
GENERATORS: dict[str, tuple[Callable[[], Generator], str]] = {
    "DCGAN": (dcgan, "z"),
    "StyleGAN2 256": (lambda: stylegan2(256), "w+"),
    "StyleGAN2 1024": (lambda: stylegan2(1024), "w+"),
    "tiny StyleGAN2": (lambda: stylegan2(32, {4: 16, 8: 16, 16: 12, 32: 8}, 24, 2), "w+"),
}
#: Encoders by name: what builds them, and the name of the spec that has their framing.
ENCODERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "MobileFaceNet": (mobilefacenet, "arcface.mobilefacenet"),
    "iResNet-50": (lambda: iresnet(50), "arcface.r50-ms1mv3"),
    "iResNet-100": (lambda: iresnet(100), "arcface.r100-glint360k"),
    "VGGFace2 ResNet-50": (resnet50, "vggface2.resnet50-ft"),
}


class Step(nn.Module):
    """A generator and an encoder with the warp between them, as a step of an inversion runs them.

    Args:
        generator: Name in :data:`GENERATORS`.
        encoder: Name in :data:`ENCODERS`.
    """

    def __init__(self, generator: str, encoder: str) -> None:
        super().__init__()
        build, self.space = GENERATORS[generator]
        self.generator = build()
        make, name = ENCODERS[encoder]
        self.encoder = make()
        framings = {spec.name: spec.framing for hook in (arcface, vggface2) for spec in hook.faceinv_encoders()}
        own = getattr(self.generator, "framing", dcgan_plugin.faceinv_generators()[0].framing)
        self.warp = warp_between(own, framings[name])

    def latents(self, batch: int, device: torch.device) -> Tensor:
        """Return latents ``(batch, ...)``, the same on every device."""
        drawn = self.generator.sample(batch, self.space, torch.Generator().manual_seed(1))
        return drawn.to(device)

    def encode(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, D)`` of the generator's images."""
        descriptors: Tensor = self.encoder(self.warp(images))
        return descriptors

    def images(self, latents: Tensor) -> Tensor:
        """Return images ``(B, 3, H, W)``."""
        made: Tensor = self.generator(latents, self.space)
        return made

    def forward(self, latents: Tensor) -> Tensor:
        """Return the descriptors of the latents' images."""
        return self.encode(self.images(latents))
