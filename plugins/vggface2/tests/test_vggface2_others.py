"""Inception-ResNet-v1 and VGG-16 compared with layer-by-layer evaluations by the published names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_vggface2.inception import inception
from faceinv_vggface2.vgg16 import vgg16
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError


def pictures(size: int, count: int = 3) -> Tensor:
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return F.interpolate(coarse, size=(size, size), mode="bilinear")


class Inception:
    """The network by the names of facenet-pytorch's file, in float64; tensors are drawn at first use."""

    def __init__(self) -> None:
        self.state: dict[str, Tensor] = {}
        self.rng = torch.Generator().manual_seed(0)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the descriptors before normalisation."""
        x = (images.double() * 255 - 127.5) / 128
        x = self.conv("conv2d_2a", self.conv("conv2d_1a", x, 32, 3, 2), 32, 3)
        x = F.max_pool2d(self.conv("conv2d_2b", x, 64, 3, same=True), 3, 2)
        x = self.conv("conv2d_4a", self.conv("conv2d_3b", x, 80, 1), 192, 3)
        x = self.conv("conv2d_4b", x, 256, 3, 2)
        for i in range(5):
            at = f"repeat_1.{i}"
            one = self.chain(f"{at}.branch1", x, [(32, 1), (32, 3)])
            two = self.chain(f"{at}.branch2", x, [(32, 1), (32, 3), (32, 3)])
            x = self.residual(at, x, [self.conv(f"{at}.branch0", x, 32, 1), one, two], 0.17)
        y = self.chain("mixed_6a.branch1", x, [(192, 1), (192, 3)])
        x = torch.cat(
            [
                self.conv("mixed_6a.branch0", x, 384, 3, 2),
                self.conv("mixed_6a.branch1.2", y, 256, 3, 2),
                F.max_pool2d(x, 3, 2),
            ],
            1,
        )
        for i in range(10):
            at = f"repeat_2.{i}"
            one = self.chain(f"{at}.branch1", x, [(128, 1), (128, (1, 7)), (128, (7, 1))])
            x = self.residual(at, x, [self.conv(f"{at}.branch0", x, 128, 1), one], 0.10)
        branches = []
        for branch, (width, steps) in enumerate([(384, [(256, 1)]), (256, [(256, 1)]), (256, [(256, 1), (256, 3)])]):
            y = self.chain(f"mixed_7a.branch{branch}", x, steps)
            branches.append(self.conv(f"mixed_7a.branch{branch}.{len(steps)}", y, width, 3, 2))
        x = torch.cat([*branches, F.max_pool2d(x, 3, 2)], 1)
        for at in [*(f"repeat_3.{i}" for i in range(5)), "block8"]:
            one = self.chain(f"{at}.branch1", x, [(192, 1), (192, (1, 3)), (192, (3, 1))])
            last = at == "block8"
            x = self.residual(at, x, [self.conv(f"{at}.branch0", x, 192, 1), one], 1.0 if last else 0.20, not last)
        x = x.mean((2, 3))
        return self.norm("last_bn", F.linear(x, self.drawn("last_linear.weight", 512, 1792)))

    def drawn(self, name: str, *shape: int) -> Tensor:
        if name not in self.state:
            self.state[name] = torch.randn(shape, generator=self.rng) / torch.Size(shape[1:]).numel() ** 0.5
        return self.state[name].double()

    def chain(self, at: str, x: Tensor, steps: list[tuple[int, int | tuple[int, int]]]) -> Tensor:
        for i, (width, kernel) in enumerate(steps):
            x = self.conv(f"{at}.{i}", x, width, kernel, same=True)
        return x

    def residual(self, at: str, x: Tensor, branches: list[Tensor], scale: float, relu: bool = True) -> Tensor:
        joined = torch.cat(branches, 1)
        weight = self.drawn(f"{at}.conv2d.weight", x.shape[1], joined.shape[1], 1, 1)
        y = x + scale * F.conv2d(joined, weight, self.drawn(f"{at}.conv2d.bias", x.shape[1]))
        return F.relu(y) if relu else y

    def conv(
        self, at: str, x: Tensor, width: int, kernel: int | tuple[int, int], stride: int = 1, *, same: bool = False
    ) -> Tensor:
        height, breadth = (kernel, kernel) if isinstance(kernel, int) else kernel
        weight = self.drawn(f"{at}.conv.weight", width, x.shape[1], height, breadth)
        padding = (height // 2, breadth // 2) if same else 0
        return F.relu(self.norm(f"{at}.bn", F.conv2d(x, weight, stride=stride, padding=padding)))

    def norm(self, at: str, x: Tensor) -> Tensor:
        axes = [0, *range(2, x.ndim)]
        if f"{at}.weight" not in self.state:
            noise = torch.rand(4, x.shape[1], generator=self.rng)
            self.state[f"{at}.weight"] = 0.5 + noise[0]
            self.state[f"{at}.bias"] = noise[1] - 0.5
            # The mean square, because the variance of three descriptors may be tiny, and then only the
            # rounding of float32 would be compared.
            self.state[f"{at}.running_mean"] = 0.5 * x.mean(axes).float()
            self.state[f"{at}.running_var"] = x.square().mean(axes).float() * (0.5 + noise[3])
            self.state[f"{at}.num_batches_tracked"] = torch.tensor(4)
        weight, bias, mean, variance = (
            self.state[f"{at}.{field}"].double() for field in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-3)


@pytest.mark.parametrize("classifier", [True, False])
def test_inception_resnet_v1(tmp_path: Path, classifier: bool) -> None:
    reference, images = Inception(), pictures(160)
    raw = reference(images)
    head = {"logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)} if classifier else {}
    torch.save({**reference.state, **head}, tmp_path / "x.pt")
    network = inception(tmp_path / "x.pt", name="x", fold=classifier)
    with torch.no_grad():
        trunk = network.trunk((images * 255 - 127.5) / 128)
        unit, swapped = network(images), network(images.flip(1))
    # A unit-length descriptor hides a wrong scale, so the raw one is compared too.
    assert ((trunk - raw).abs().amax(1) / raw.abs().amax(1)).max() < 3e-5
    # Float32 rounding reaches 2e-6 here; a wrong epsilon, the most likely mistake, changes a value by 3e-4.
    torch.testing.assert_close(unit.double(), raw / raw.norm(dim=1, keepdim=True), atol=1e-5, rtol=1e-4)
    assert (swapped - unit).abs().amax(1).min() > 1e-3


def test_inception_names_missing_tensors(tmp_path: Path) -> None:
    reference = Inception()
    reference(pictures(160, 1))
    del reference.state["mixed_7a.branch2.1.bn.running_var"]
    torch.save(reference.state, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"1 missing \(mixed_7a\.branch2\.1\.bn\.running_var\)"):
        inception(tmp_path / "x.pt", name="x")


def test_vgg16(tmp_path: Path) -> None:
    rng = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def drawn(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = (
            torch.randn(shape, generator=rng) * (2 / torch.Size(shape[1:]).numel()) ** 0.5
        ).half()
        state[f"{name}.bias"] = (torch.randn(shape[0], generator=rng) * 0.1).half()

    images = pictures(224, 2)
    mean = torch.tensor([129.186279296875, 104.76238250732422, 93.59396362304688]).view(3, 1, 1)
    x = images * 255 - mean
    for stage, (width, steps) in enumerate([(64, 2), (128, 2), (256, 3), (512, 3), (512, 3)], start=1):
        for step in range(1, steps + 1):
            name = f"conv{stage}_{step}"
            drawn(name, width, x.shape[1], 3, 3)
            x = F.relu(F.conv2d(x, state[f"{name}.weight"].float(), state[f"{name}.bias"].float(), padding=1))
        x = F.max_pool2d(x, 2)
    x = x.flatten(1)
    for name in ("fc6", "fc7"):
        drawn(name, 4096, x.shape[1])
        x = F.relu(F.linear(x, state[f"{name}.weight"].float(), state[f"{name}.bias"].float()))
    drawn("fc8", 2622, 4096)
    torch.save(state, tmp_path / "vgg_face_dag.pth")
    network = vgg16(tmp_path / "vgg_face_dag.pth", name="vggface.vgg16")
    with torch.no_grad():
        given, swapped = network(images), network(images.flip(1))
    assert (given - x).abs().max() < 1e-5 * x.abs().max()
    assert (swapped - x).abs().max() > 1e-2 * x.abs().max()
    assert given.min() == 0

    del state["fc8.bias"], state["fc8.weight"], state["fc6.weight"], state["fc7.weight"]
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=r"'vggface.vgg16': 2 missing \(fc6\.weight, fc7\.weight\)\."):
        vgg16(tmp_path / "x.pth", name="vggface.vgg16")
