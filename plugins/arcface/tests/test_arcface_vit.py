"""The vision transformer compared with its equations, with arbitrary weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_arcface.vit import FaceTransformer, vit
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError

NAME = "arcface.vit-tiny-ms1mv3"
TRUNK = "vit_tiny_patch16_224"


def arbitrary_state() -> dict[str, Tensor]:
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in FaceTransformer(TRUNK).trunk.state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in shapes.items():
        noise = torch.randn(shape, generator=rng)
        state[name] = 1 + 0.3 * noise if "norm" in name and name.endswith("weight") else 0.06 * noise
    return state


def reference(state: dict[str, Tensor], images: Tensor) -> Tensor:
    """Dosovitskiy et al., equations 1 to 4, pre-normalised, three heads of 64, in float64."""
    w = {name: tensor.double() for name, tensor in state.items()}
    x = (images.double() * 255 - 127.5) / 127.5
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=8).flatten(2).mT
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + w["pos_embed"]

    def norm(name: str, x: Tensor) -> Tensor:
        return F.layer_norm(x, (192,), w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)

    def dense(name: str, x: Tensor) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    for i in range(12):
        at = f"blocks.{i}"
        q, k, v = dense(f"{at}.attn.qkv", norm(f"{at}.norm1", x)).unflatten(2, (3, 3, 64)).permute(2, 0, 3, 1, 4)
        attended = (q @ k.mT / 8).softmax(-1) @ v
        x = x + dense(f"{at}.attn.proj", attended.transpose(1, 2).flatten(2))
        x = x + dense(f"{at}.mlp.fc2", F.gelu(dense(f"{at}.mlp.fc1", norm(f"{at}.norm2", x))))
    return dense("head", norm("norm", x)[:, 0])


def test_equals_the_equations(tmp_path: Path) -> None:
    state = arbitrary_state()
    save_file(state, tmp_path / "model.safetensors")
    network = vit(tmp_path / "model.safetensors", architecture=TRUNK, name=NAME)
    images = torch.rand(3, 3, 112, 112, generator=torch.Generator().manual_seed(1)).requires_grad_()
    expected = reference(state, images.detach())
    given = network(images)
    assert (given - expected).abs().max() < 1e-5 * expected.abs().max()
    with torch.no_grad():
        assert (network(images.flip(1)) - expected).abs().max() > 1e-2 * expected.abs().max()
    given.sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    state = arbitrary_state()
    del state["pos_embed"]
    state["head.weight"] = torch.zeros(1000, 192)
    save_file(state, tmp_path / "x")
    with pytest.raises(WeightsError, match=rf"'{NAME}': 1 missing \(pos_embed\); 1 wrongly shaped \(head\.weight"):
        vit(tmp_path / "x", architecture=TRUNK, name=NAME)
