"""StyleGAN2 beside a slow evaluation of the papers' equations, on a file in rosinality's format; and hostile files."""

from __future__ import annotations

import math
import os
import pickle
from pathlib import Path

import pytest
import torch
from faceinv_stylegan2.files import convert
from faceinv_stylegan2.generator import StyleGAN2, build
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError

SIDE, WIDTH, CHANNELS = 32, 24, {4: 16, 8: 16, 16: 12, 32: 8}


def published() -> dict[str, Tensor]:
    """Return arbitrary weights under rosinality's names."""
    rng = torch.Generator().manual_seed(0)

    def draw(*shape: int, scale: float = 1.0, shift: float = 0.0) -> Tensor:
        return shift + scale * torch.randn(shape, generator=rng)

    state = {"input.input": draw(1, CHANNELS[4], 4, 4), "to_rgbs.0.upsample.kernel": fir() * 4}
    for layer in range(1, 4):
        state[f"style.{layer}.weight"] = draw(WIDTH, WIDTH, scale=100)
        state[f"style.{layer}.bias"] = draw(WIDTH, scale=20)

    def convolution(name: str, inputs: int, outputs: int, kernel: int) -> None:
        state[f"{name}.conv.weight"] = draw(1, outputs, inputs, kernel, kernel)
        state[f"{name}.conv.modulation.weight"] = draw(inputs, WIDTH)
        state[f"{name}.conv.modulation.bias"] = draw(inputs, scale=0.2, shift=1)
        if kernel == 3:
            state[f"{name}.noise.weight"] = draw(1, scale=0.3)
            state[f"{name}.activate.bias"] = draw(outputs, scale=0.2)
        else:
            state[f"{name}.bias"] = draw(1, 3, 1, 1, scale=0.2)

    convolution("conv1", CHANNELS[4], CHANNELS[4], 3)
    convolution("to_rgb1", CHANNELS[4], 3, 1)
    state["noises.noise_0"] = draw(1, 1, 4, 4)
    for number, side in enumerate((8, 16, 32)):
        convolution(f"convs.{2 * number}", CHANNELS[side // 2], CHANNELS[side], 3)
        convolution(f"convs.{2 * number + 1}", CHANNELS[side], CHANNELS[side], 3)
        convolution(f"to_rgbs.{number}", CHANNELS[side], 3, 1)
        state[f"convs.{2 * number}.conv.blur.kernel"] = fir() * 4
        state[f"to_rgbs.{number}.upsample.kernel"] = fir() * 4
        for which in (1, 2):
            state[f"noises.noise_{2 * number + which}"] = draw(1, 1, side, side)
    return state


def fir() -> Tensor:
    row = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return torch.outer(row, row) / 64


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


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "cache"))
    torch.save({"g_ema": published()}, tmp_path / "published.pt")
    return tmp_path / "published.pt"


@pytest.fixture
def generator(file: Path) -> StyleGAN2:
    return build(file).eval().requires_grad_(False)


@pytest.mark.parametrize("space", ["z", "w", "w+"])
def test_images_are_the_papers(generator: StyleGAN2, space: str) -> None:
    reference = Reference(published())
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
        typical, odd = generator.log_prior(latents.detach(), space), generator.log_prior(latents.detach() * 9, space)
        assert (typical > odd).all()
    assert generator.framing.size == (SIDE, SIDE)


def test_a_converted_file_is_the_same_network(generator: StyleGAN2, file: Path, tmp_path: Path) -> None:
    convert(file, tmp_path / "converted.safetensors")
    again = build(tmp_path / "converted.safetensors").eval()
    latents = generator.sample(2, "w", torch.Generator().manual_seed(3))
    torch.testing.assert_close(again(latents, "w"), generator(latents, "w"), atol=1e-6, rtol=0)


class Command:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.target}",)


def test_nothing_in_a_hostile_file_runs(file: Path, tmp_path: Path) -> None:
    marker = tmp_path / "it-ran"
    for number, content in enumerate(
        [
            pickle.dumps({"G_ema": Command(marker)}),
            pickle.dumps({"G_ema": Command(marker)}, protocol=0),
            b"cbuiltins\nexec\n(S'open(\"" + str(marker).encode() + b'", "w")\'\ntR.',
            pickle.dumps({"G_ema": pickle.dumps(Command(marker))}),
        ]
    ):
        path = tmp_path / f"hostile-{number}.pkl"
        path.write_bytes(content)
        with pytest.raises(WeightsError) as refused:
            build(path)
        assert "\n" not in str(refused.value)
    torch.save({"g_ema": published(), "args": Command(marker)}, tmp_path / "hostile.pt")
    with pytest.raises(WeightsError):
        build(tmp_path / "hostile.pt")
    assert not marker.exists()


def test_a_truncated_file_ends_in_one_line(file: Path, tmp_path: Path) -> None:
    whole = file.read_bytes()
    for percent in range(0, 100):
        path = tmp_path / "cut.pt"
        path.write_bytes(whole[: len(whole) * percent // 100])
        with pytest.raises(WeightsError) as refused:
            build(path)
        assert "\n" not in str(refused.value)
