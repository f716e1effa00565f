"""iResNet compared with a layer-by-layer evaluation by the published names, with arbitrary weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_arcface.iresnet import DEPTHS, iresnet
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError


class Reference:
    """The network as insightface's file describes it, in float64.

    A tensor is drawn when it is first used; the statistics of a normalisation are those of what flows
    through it, disturbed, so that no layer is idle and none saturates.
    """

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.state: dict[str, Tensor] = {}
        self.rng = torch.Generator().manual_seed(depth)

    def __call__(self, images: Tensor) -> Tensor:
        """Return descriptors of images in [0, 1]."""
        x = (images.double() * 255 - 127.5) / 127.5
        x = self.prelu("prelu", self.norm("bn1", self.conv("conv1", x, 64, 3)))
        for layer, blocks in enumerate(DEPTHS[self.depth], start=1):
            width = 32 * 2**layer
            for block in range(blocks):
                at = f"layer{layer}.{block}"
                stride = 2 if block == 0 else 1
                y = self.conv(f"{at}.conv1", self.norm(f"{at}.bn1", x), width, 3)
                y = self.prelu(f"{at}.prelu", self.norm(f"{at}.bn2", y))
                y = self.norm(f"{at}.bn3", self.conv(f"{at}.conv2", y, width, 3, stride))
                if block == 0:
                    x = self.norm(f"{at}.downsample.1", self.conv(f"{at}.downsample.0", x, width, 1, stride))
                x = x + y
        x = self.norm("bn2", x).flatten(1)
        x = F.linear(x, self.drawn("fc.weight", 512, x.shape[1]), self.drawn("fc.bias", 512))
        return self.norm("features", x)

    def drawn(self, name: str, *shape: int) -> Tensor:
        if name not in self.state:
            fan = torch.Size(shape[1:]).numel()
            self.state[name] = torch.randn(shape, generator=self.rng) / fan**0.5
        return self.state[name].double()

    def conv(self, name: str, x: Tensor, width: int, kernel: int, stride: int = 1) -> Tensor:
        weight = self.drawn(f"{name}.weight", width, x.shape[1], kernel, kernel)
        return F.conv2d(x, weight, stride=stride, padding=kernel // 2)

    def norm(self, name: str, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        if f"{name}.weight" not in self.state:
            noise = torch.rand(4, x.shape[1], generator=self.rng)
            self.state[f"{name}.weight"] = 0.5 + noise[0]
            self.state[f"{name}.bias"] = noise[1] - 0.5
            # The mean square, because the variance of three descriptors may be tiny, and then only the
            # rounding of float32 would be compared.
            self.state[f"{name}.running_mean"] = 0.5 * x.mean(axes).float() + 0.3 * (noise[2] - 0.5)
            self.state[f"{name}.running_var"] = x.square().mean(axes).float() * (0.5 + noise[3])
            self.state[f"{name}.num_batches_tracked"] = torch.tensor(9)
        weight, bias, mean, variance = (
            self.state[f"{name}.{field}"].double() for field in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)

    def prelu(self, name: str, x: Tensor) -> Tensor:
        if f"{name}.weight" not in self.state:
            self.state[f"{name}.weight"] = torch.rand(x.shape[1], generator=self.rng) * 0.5
        slope = self.state[f"{name}.weight"].double().view(-1, 1, 1)
        return torch.where(x > 0, x, slope * x)


def pictures(count: int) -> Tensor:
    return torch.rand(count, 3, 112, 112, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("depth", [50, 100])
def test_equals_the_layers_one_by_one(tmp_path: Path, depth: int) -> None:
    reference, images = Reference(depth), pictures(3)
    expected = reference(images)
    torch.save({"state_dict_backbone": reference.state, "epoch": 20}, tmp_path / "backbone.pth")
    network = iresnet(tmp_path / "backbone.pth", depth=depth, name=f"arcface.r{depth}")
    with torch.no_grad():
        given, swapped = network(images).double(), network(images.flip(1)).double()
    largest = expected.abs().amax(1)
    assert ((given - expected).abs().amax(1) / largest).max() < 3e-5
    assert ((swapped - expected).abs().amax(1) / largest).min() > 1e-2


def test_folding_prefix_and_gradient(tmp_path: Path) -> None:
    reference, images = Reference(50), pictures(1)
    reference(images)
    path = tmp_path / "backbone.pth"
    torch.save({f"module.{name}": tensor for name, tensor in reference.state.items()}, path)
    folded, unfolded = (iresnet(path, depth=50, name="x", fold=fold) for fold in (True, False))
    with torch.no_grad():
        expected = unfolded.double()(images.double())
        assert (folded.double()(images.double()) - expected).abs().max() < 1e-5 * expected.abs().max()
    folded.float()
    leaf = images.requires_grad_()
    folded(leaf).square().sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in folded.parameters())

    with pytest.raises(WeightsError, match=r"'arcface\.r100': .* missing \(layer2\.4\.bn1\.weight"):
        iresnet(path, depth=100, name="arcface.r100")
