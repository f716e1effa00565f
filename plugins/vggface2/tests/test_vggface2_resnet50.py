"""VGGFace2's ResNets compared with a layer-by-layer evaluation by the published names, with arbitrary weights."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from faceinv_vggface2.resnet50 import resnet50
from torch import Tensor
from torch.nn import functional as F

from faceinv.errors import WeightsError


class Reference:
    """The network as Caffe built it, by the names of ``*_dag.pth``, in float64.

    A tensor is drawn when it is first used; the statistics of a normalisation are those of what flows
    through it, disturbed, so that no layer is idle and none saturates.
    """

    def __init__(self, *, gate: bool) -> None:
        self.gate = gate
        self.state: dict[str, Tensor] = {}
        self.rng = torch.Generator().manual_seed(int(gate))

    def __call__(self, images: Tensor) -> Tensor:
        """Return pool5 of RGB images in [0, 1]."""
        mean = torch.tensor([131.0912, 103.8827, 91.4953], dtype=torch.float64).view(3, 1, 1)
        x = F.relu(self.conv_bn("conv1_7x7_s2", images.double() * 255 - mean, 64, 7, 2))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for stage, (inner, blocks) in {2: (64, 3), 3: (128, 4), 4: (256, 6), 5: (512, 3)}.items():
            for block in range(1, blocks + 1):
                at = f"conv{stage}_{block}"
                stride = 2 if stage > 2 and block == 1 else 1
                y = F.relu(self.conv_bn(f"{at}_1x1_reduce", x, inner, 1, stride))
                y = F.relu(self.conv_bn(f"{at}_3x3", y, inner, 3))
                y = self.conv_bn(f"{at}_1x1_increase", y, 4 * inner, 1)
                if self.gate:
                    g = F.relu(self.conv(f"{at}_1x1_down", y.mean((2, 3), keepdim=True), inner // 4, 1, bias=True))
                    y = y * torch.sigmoid(self.conv(f"{at}_1x1_up", g, 4 * inner, 1, bias=True))
                if block == 1:
                    x = self.conv_bn(f"{at}_1x1_proj", x, 4 * inner, 1, stride)
                x = F.relu(x + y)
        self.state.setdefault("classifier.weight", torch.zeros(8631, 2048, 1, 1))
        self.state.setdefault("classifier.bias", torch.zeros(8631))
        return x.mean((2, 3))

    def conv(self, name: str, x: Tensor, width: int, kernel: int, stride: int = 1, *, bias: bool = False) -> Tensor:
        shape = (width, x.shape[1], kernel, kernel)
        if f"{name}.weight" not in self.state:
            self.state[f"{name}.weight"] = torch.randn(shape, generator=self.rng) / (x.shape[1] * kernel**2) ** 0.5
            if bias:
                self.state[f"{name}.bias"] = torch.randn(width, generator=self.rng) * 0.5
        offset = self.state[f"{name}.bias"].double() if bias else None
        return F.conv2d(x, self.state[f"{name}.weight"].double(), offset, stride, kernel // 2)

    def conv_bn(self, name: str, x: Tensor, width: int, kernel: int, stride: int = 1) -> Tensor:
        x = self.conv(name, x, width, kernel, stride)
        at = f"{name}_bn"
        if f"{at}.weight" not in self.state:
            noise = torch.rand(4, width, generator=self.rng)
            variance = x.var((0, 2, 3), correction=0).float()
            self.state[f"{at}.weight"] = 0.5 + noise[0]
            self.state[f"{at}.bias"] = noise[1] - 0.5
            self.state[f"{at}.running_mean"] = x.mean((0, 2, 3)).float() + 0.3 * (noise[2] - 0.5) * variance.sqrt()
            self.state[f"{at}.running_var"] = variance * (0.5 + noise[3])
        weight, bias, mean, variance = (
            self.state[f"{at}.{field}"].double() for field in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(x, mean, variance, weight, bias, eps=1e-5)


def converted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Give the tensors of a dag file the names and the channel order of cydonia999's conversions."""
    parts = {
        "1x1_reduce": "conv1",
        "1x1_reduce_bn": "bn1",
        "3x3": "conv2",
        "3x3_bn": "bn2",
        "1x1_increase": "conv3",
        "1x1_increase_bn": "bn3",
        "1x1_down": "conv4",
        "1x1_up": "conv5",
        "1x1_proj": "downsample.0",
        "1x1_proj_bn": "downsample.1",
    }
    renamed = {}
    for name, tensor in state.items():
        if block := re.fullmatch(r"conv(\d)_(\d)_(\w+)\.(\w+)", name):
            renamed[f"layer{int(block[1]) - 1}.{int(block[2]) - 1}.{parts[block[3]]}.{block[4]}"] = tensor
        elif name == "conv1_7x7_s2.weight":
            renamed["conv1.weight"] = tensor.flip(1)
        elif name.startswith("conv1_7x7_s2_bn"):
            renamed[name.replace("conv1_7x7_s2_bn", "bn1")] = tensor
        else:
            renamed[name.replace("classifier", "fc")] = tensor.flatten(1) if name.endswith("weight") else tensor
    assert len(renamed) == len(state)
    return renamed


@pytest.fixture(scope="module")
def images() -> Tensor:
    coarse = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return F.interpolate(coarse, size=(224, 224), mode="bilinear")


@pytest.fixture(scope="module", params=[False, True], ids=["resnet50", "senet50"])
def reference(request: pytest.FixtureRequest, images: Tensor) -> tuple[Reference, Tensor]:
    made = Reference(gate=request.param)
    return made, made(images)


def check(path: Path, reference: tuple[Reference, Tensor], images: Tensor, *, fold: bool = True) -> None:
    model, expected = reference
    network = resnet50(path, gate=model.gate, name="x", fold=fold)
    with torch.no_grad():
        given, swapped = network(images).double(), network(images.flip(1)).double()
    largest = expected.abs().amax(1)
    assert ((given - expected).abs().amax(1) / largest).max() < 3e-5
    assert ((swapped - expected).abs().amax(1) / largest).min() > 1e-2


def test_dag_file(tmp_path: Path, reference: tuple[Reference, Tensor], images: Tensor) -> None:
    torch.save(reference[0].state, tmp_path / "x_dag.pth")
    check(tmp_path / "x_dag.pth", reference, images)
    check(tmp_path / "x_dag.pth", reference, images, fold=False)


def test_pickle_of_the_caffe_conversion(tmp_path: Path, reference: tuple[Reference, Tensor], images: Tensor) -> None:
    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in converted(reference[0].state).items()}
    (tmp_path / "x_weight.pkl").write_bytes(pickle.dumps(arrays, protocol=2))
    check(tmp_path / "x_weight.pkl", reference, images)


def test_state_dict_of_the_caffe_conversion_without_head(
    tmp_path: Path, reference: tuple[Reference, Tensor], images: Tensor
) -> None:
    state = {name: tensor for name, tensor in converted(reference[0].state).items() if not name.startswith("fc")}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "x.pth")
    check(tmp_path / "x.pth", reference, images)


def test_the_other_variants_file_is_refused(tmp_path: Path, reference: tuple[Reference, Tensor]) -> None:
    gate = reference[0].gate
    torch.save(reference[0].state, tmp_path / "x")
    what = r"64 unexpected \(conv2_1_1x1_down" if gate else r"64 missing \(conv2_1_1x1_down"
    with pytest.raises(WeightsError, match=f"'vggface2.other': {what}"):
        resnet50(tmp_path / "x", gate=not gate, name="vggface2.other")


def test_imagenets_resnet_is_refused(tmp_path: Path, reference: tuple[Reference, Tensor]) -> None:
    state = converted(reference[0].state) | {"fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "resnet50.pth")
    with pytest.raises(WeightsError, match=r"'vggface2\.x': its classifier has 1000 classes"):
        resnet50(tmp_path / "resnet50.pth", gate=reference[0].gate, name="vggface2.x")


def test_gradient_reaches_the_images_only(tmp_path: Path, reference: tuple[Reference, Tensor], images: Tensor) -> None:
    torch.save(reference[0].state, tmp_path / "x")
    network = resnet50(tmp_path / "x", gate=reference[0].gate, name="x")
    leaf = images[:1].clone().requires_grad_()
    network(leaf).sum().backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().sum() > 0
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert network.mean.dtype == torch.float32
    assert network.double().mean.dtype == torch.float64
