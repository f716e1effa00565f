"""VGGFace2's ResNet-50 and SE-ResNet-50 (Cao et al., FG 2018; Hu et al., CVPR 2018), in Caffe's architecture.

Caffe's ResNet differs from torchvision's: a stage has its stride on the first 1×1 convolution, and the max pooling
after the stem is unpadded and rounds its size up. The weights come in two families of files: the ``*_dag.pth`` state
dicts (Albanie), with Caffe's names and RGB input, and the conversions by cydonia999, with torchvision's names and BGR
input.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.errors import WeightsError
from faceinv.models import fold_norm
from faceinv.weights import load_strictly, read_tensors

#: Stage → (inner width, blocks, stride).
STAGES = {2: (64, 3, 1), 3: (128, 4, 2), 4: (256, 6, 2), 5: (512, 3, 2)}

#: People in VGGFace2's training set: the classes of the published classifiers.
IDENTITIES = 8631

#: Mean of VGGFace2's training images, RGB on 8-bit values.
MEAN = (131.0912, 103.8827, 91.4953)


class ConvNorm(nn.Module):
    """Convolution and batch normalisation."""

    norm: nn.Module

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def fold(self) -> None:
        """Fold the normalisation into the convolution."""
        assert isinstance(self.norm, nn.BatchNorm2d)
        fold_norm(self.conv, self.norm)
        self.norm = nn.Identity()


class Gate(nn.Module):
    """Squeeze and excitation: a factor for each channel, from the means of all channels (Hu et al., equation 3)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(width, width // 16, 1)
        self.up = nn.Conv2d(width // 16, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, H, W)`` to the same shape."""
        return x * torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))


class Bottleneck(nn.Module):
    """Bottleneck of three convolutions and the gate; plus the input, projected if the shape changes."""

    def __init__(self, inputs: int, inner: int, stride: int, *, project: bool, gate: bool) -> None:
        super().__init__()
        self.reduce = ConvNorm(inputs, inner, 1, stride)
        self.filter = ConvNorm(inner, inner, 3)
        self.increase = ConvNorm(inner, 4 * inner, 1)
        self.gate = Gate(4 * inner) if gate else nn.Identity()
        self.project = ConvNorm(inputs, 4 * inner, 1, stride) if project else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, 4 inner, H / stride, W / stride)``."""
        y = F.relu(self.filter(F.relu(self.reduce(x))))
        y = self.gate(self.increase(y))
        return F.relu(self.project(x) + y)


class ResNet50(nn.Module):
    """ResNet-50: 224×224 faces to descriptors of length 2,048 (``pool5``), not normalised.

    Args:
        gate: Give every block a squeeze-and-excitation gate.
    """

    mean: Tensor

    def __init__(self, *, gate: bool) -> None:
        super().__init__()
        self.stem = ConvNorm(3, 64, 7, 2)
        inputs = 64
        for number, (inner, blocks, stride) in STAGES.items():
            stage = []
            for index in range(blocks):
                first = index == 0
                stage.append(Bottleneck(inputs, inner, stride if first else 1, project=first, gate=gate))
                inputs = 4 * inner
            self.add_module(f"stage{number}", nn.Sequential(*stage))
        self.register_buffer("mean", torch.tensor(MEAN, device="cpu").view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 2048)`` of images ``(B, 3, 224, 224)`` RGB in ``[0, 1]``."""
        check_images(images, (224, 224))
        x = (images * 255 - self.mean).contiguous(memory_format=torch.channels_last)
        x = F.max_pool2d(F.relu(self.stem(x)), 3, 2, ceil_mode=True)
        for number in STAGES:
            x = self.get_submodule(f"stage{number}")(x)
        return x.mean((2, 3))

    def fold(self) -> None:
        """Fold every batch normalisation into the convolution before it."""
        for module in self.modules():
            if isinstance(module, ConvNorm):
                module.fold()


def resnet50(path: Path, *, gate: bool, name: str, fold: bool = True) -> ResNet50:
    """Return the frozen network with the weights of a published file.

    Args:
        path: ``*_dag.pth``, or a conversion by cydonia999 as a pickle or PyTorch file; with or without the classifier.
        gate: True for SE-ResNet-50.
        name: The encoder's name, for messages.
        fold: Fold batch normalisation into the convolutions.

    Raises:
        WeightsError: if the file cannot be read, names code, or is of another network.
    """
    with torch.device("meta"):
        network = ResNet50(gate=gate)
    tensors = read_tensors(path)
    converted = "conv1.weight" in tensors
    head = "fc" if converted else "classifier"
    _check_head(tensors.get(f"{head}.weight"), path, name)
    load_strictly(
        network,
        tensors,
        network=name,
        names=dict(_conversion_names(network) if converted else _dag_names(network)),
        convert=_from_bgr if converted else None,
        ignore=(f"{head}.*",),
    )
    network.eval().requires_grad_(False)
    if fold:
        network.fold()
    return network.to(memory_format=torch.channels_last)


def _check_head(weight: Tensor | None, path: Path, name: str) -> None:
    """Refuse a classifier with other classes: torchvision's ResNet-50 has the same names but is another network."""
    if weight is not None and len(weight) != IDENTITIES:
        raise WeightsError(
            f"{path} does not hold the tensors of '{name}': its classifier has {len(weight)} classes, but VGGFace2's "
            f"has {IDENTITIES}. ImageNet's ResNet-50 has the same names but strides elsewhere; if this file was "
            "fine-tuned from VGGFace2's, remove its classifier."
        )


def _from_bgr(name: str, tensor: Tensor) -> Tensor:
    """Convert the stem's input channels from BGR to RGB."""
    return tensor.flip(1) if name == "stem.conv.weight" and tensor.ndim == 4 else tensor


def _dag_names(network: ResNet50) -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, Caffe's): ``stage2.0.reduce.norm`` is ``conv2_1_1x1_reduce_bn``."""
    layers = {"reduce": "1x1_reduce", "filter": "3x3", "increase": "1x1_increase", "project": "1x1_proj"}
    gates = {"gate.down": "1x1_down", "gate.up": "1x1_up"}
    for ours in network.state_dict():
        place, _, field = ours.rpartition(".")
        if place.startswith("stem."):
            theirs = "conv1_7x7_s2"
        else:
            stage, index, layer = place.removeprefix("stage").split(".", 2)
            theirs = f"conv{stage}_{int(index) + 1}_{gates.get(layer) or layers[layer.split('.')[0]]}"
        yield ours, f"{theirs}{'_bn' if place.endswith('norm') else ''}.{field}"


def _conversion_names(network: ResNet50) -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, cydonia999's): ``stage2.0.reduce.norm`` is ``layer1.0.bn1``."""
    layers = {
        "reduce.conv": "conv1",
        "reduce.norm": "bn1",
        "filter.conv": "conv2",
        "filter.norm": "bn2",
        "increase.conv": "conv3",
        "increase.norm": "bn3",
        "gate.down": "conv4",
        "gate.up": "conv5",
        "project.conv": "downsample.0",
        "project.norm": "downsample.1",
    }
    for ours in network.state_dict():
        place, _, field = ours.rpartition(".")
        if place.startswith("stem."):
            yield ours, f"{'conv1' if place == 'stem.conv' else 'bn1'}.{field}"
        else:
            stage, index, layer = place.removeprefix("stage").split(".", 2)
            yield ours, f"layer{int(stage) - 1}.{index}.{layers[layer]}.{field}"
