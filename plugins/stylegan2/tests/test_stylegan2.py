"""StyleGAN2 compared with a slow evaluation of the papers' equations, on files in both formats."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from faceinv_stylegan2.files import convert
from faceinv_stylegan2.generator import StyleGAN2, build
from stylegan2_files import SIDE, WIDTH, fir, rosinality_state, write_nvidia, write_rosinality
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import UsageError


def filtered(x: Tensor, pad: tuple[int, int]) -> Tensor:
    kernel = (4 * fir()).expand(x.shape[1], 1, 4, 4)
    return F.conv2d(F.pad(x, pad * 2), kernel, groups=x.shape[1])


def spread(x: Tensor, trailing: int) -> Tensor:
    """Insert zeros between the pixels."""
    wide = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
    wide[:, :, ::2, ::2] = x
    return wide if trailing else wide[:, :, :-1, :-1]


class Reference:
    """The papers' equations (Karras et al. 2020, section 2.2), one sample at a time."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def mapping(self, z: Tensor) -> Tensor:
        x = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for layer in range(1, 4):
            weight, bias = self.state[f"style.{layer}.weight"], self.state[f"style.{layer}.bias"]
            x = F.leaky_relu(x @ weight.T * 0.01 / math.sqrt(WIDTH) + 0.01 * bias, 0.2) * math.sqrt(2)
        return x

    def convolution(self, name: str, x: Tensor, w: Tensor, up: bool = False, demodulate: bool = True) -> Tensor:
        weight = self.state[f"{name}.conv.weight"][0]
        modulation = self.state[f"{name}.conv.modulation.weight"] / math.sqrt(WIDTH)
        style = modulation @ w + self.state[f"{name}.conv.modulation.bias"]
        weight = weight / math.sqrt(weight[0].numel()) * style[None, :, None, None]
        if demodulate:
            weight = weight * (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt()
        if up:
            wide = F.conv2d(F.pad(spread(x, 0), (2, 2, 2, 2)), weight.flip(2, 3))
            return filtered(wide, (1, 1))
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)

    def layer(self, name: str, x: Tensor, w: Tensor, noise: int, up: bool = False) -> Tensor:
        x = self.convolution(name, x, w, up)
        x = x + self.state[f"{name}.noise.weight"] * self.state[f"noises.noise_{noise}"]
        return F.leaky_relu(x + self.state[f"{name}.activate.bias"][None, :, None, None], 0.2) * math.sqrt(2)

    def image(self, rows: Tensor) -> Tensor:
        x = self.layer("conv1", self.state["input.input"], rows[0], 0)
        image = self.convolution("to_rgb1", x, rows[1], demodulate=False) + self.state["to_rgb1.bias"]
        for number in range(3):
            x = self.layer(f"convs.{2 * number}", x, rows[2 * number + 1], 2 * number + 1, up=True)
            x = self.layer(f"convs.{2 * number + 1}", x, rows[2 * number + 2], 2 * number + 2)
            name = f"to_rgbs.{number}"
            rgb = self.convolution(name, x, rows[2 * number + 3], demodulate=False) + self.state[f"{name}.bias"]
            image = rgb + filtered(spread(image, 1), (2, 1))
        return ((image[0] + 1) / 2).clamp(0, 1)


@pytest.fixture(params=["rosinality", "nvidia"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    write = {"rosinality": write_rosinality, "nvidia": write_nvidia}[request.param]
    return write(tmp_path / "published")


@pytest.fixture
def generator(file: Path) -> StyleGAN2:
    return build(file).eval().requires_grad_(False)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_images_are_the_papers(generator: StyleGAN2, space: str) -> None:
    reference = Reference(rosinality_state())
    latents = generator.sample(3, space, torch.Generator().manual_seed(1))
    images = generator(latents, space)
    assert images.shape == (3, 3, SIDE, SIDE)
    for index in range(3):
        w = reference.mapping(latents[index : index + 1])[0] if space == "z" else latents[index]
        rows = w if space == "w+" else w.expand(8, -1)
        expected = reference.image(rows)
        share = ((expected > 0) & (expected < 1)).float().mean()
        assert share > 0.05
        torch.testing.assert_close(images[index], expected, atol=2e-4, rtol=0)


def test_the_contract_holds(generator: StyleGAN2) -> None:
    for space in ("z", "w", "w+"):
        latents = generator.sample(4, space, torch.Generator().manual_seed(2))
        assert torch.equal(latents, generator.sample(4, space, torch.Generator().manual_seed(2)))
        assert latents.shape[1:] == generator.latent_shape(space)
        images = generator(latents, space)
        assert images.min() >= 0
        assert images.max() <= 1
        torch.testing.assert_close(generator(latents[:1], space), images[:1], atol=1e-5, rtol=0)
        (gradient,) = torch.autograd.grad(generator(latents.requires_grad_(), space).sum(), latents)
        assert (gradient.flatten(1).abs().sum(1) > 0).all()
    assert generator.framing.size == (SIDE, SIDE)


def test_a_checkpoint_without_noise_maps_is_the_same_network(tmp_path: Path) -> None:
    state = rosinality_state()
    old, new, converted = tmp_path / "old.pt", tmp_path / "new.pt", tmp_path / "old.safetensors"
    torch.save({"g_ema": state}, new)
    torch.save({"g_ema": {name: tensor for name, tensor in state.items() if "noises." not in name}}, old)
    convert(old, converted)
    z = torch.randn(2, WIDTH, generator=torch.Generator().manual_seed(2))
    for noise in ("none", 7, "0"):
        expected = build(new, noise=noise)(z, "z")
        assert torch.equal(build(old, noise=noise)(z, "z"), expected)
        assert torch.equal(build(converted, noise=noise)(z, "z"), expected)
    assert torch.equal(build(old)(z, "z"), build(new, noise=0)(z, "z"))
    with pytest.raises(UsageError, match="has no noise maps"):
        build(old, noise="const")


def test_a_converted_file_is_the_same_network(generator: StyleGAN2, file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "converted.safetensors")
    again = build(tmp_path / "converted.safetensors").eval()
    latents = generator.sample(2, "w", torch.Generator().manual_seed(3))
    torch.testing.assert_close(again(latents, "w"), generator(latents, "w"), atol=1e-6, rtol=0)
