"""MobileFaceNet (Chen et al., CCBR 2018, table 1), with batch normalisation already folded in the published file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.models import FrozenPReLU
from faceinv.weights import load_strictly
from faceinv_arcface.tflite import read_tflite

#: Stage → (expanded width, output width, blocks, stride of the first block).
STAGES = {2: (128, 64, 5, 2), 3: (256, 128, 1, 2), 4: (256, 128, 6, 1), 5: (512, 128, 1, 2), 6: (256, 128, 2, 1)}


class Convolution(nn.Module):
    """A convolution with TensorFlow's ``SAME`` padding and, unless linear, a PReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        kernel: Side of the kernel.
        stride: 1, or 2 on maps of even size.
        depthwise: Filter each channel separately.
        linear: Leave out the PReLU.
        same: Pad the map; without padding, it must not be smaller than the kernel.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        depthwise: bool = False,
        linear: bool = False,
        same: bool = True,
    ) -> None:
        super().__init__()
        # On a map of even size, stride 2 needs one pixel of padding in total: SAME adds it after the last row and
        # column, where symmetric padding would add it before the first.
        self.pad_after = same and stride == 2 and kernel == 3
        padding = kernel // 2 if same and not self.pad_after else 0
        groups = inputs if depthwise else 1
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)
        self.prelu = None if linear else FrozenPReLU(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        if self.pad_after:
            x = F.pad(x, (0, 1, 0, 1))
        x = self.conv(x)
        return x if self.prelu is None else self.prelu(x)

    def widen(self) -> None:
        """Replace padding after the map by a depthwise kernel of 4×4, the 3×3 one after zeros: the same sums.

        Symmetric padding costs nothing, while padding on one side copies the map. Twice as fast, forward and backward.
        """
        if self.pad_after and self.conv.groups > 1:
            kernel = F.pad(self.conv.weight.detach(), (1, 0, 1, 0))
            self.conv.weight = nn.Parameter(kernel.contiguous(memory_format=torch.channels_last))
            self.conv.kernel_size, self.conv.padding = (4, 4), (1, 1)
            self.pad_after = False


class Bottleneck(nn.Module):
    """Expansion, depthwise convolution, projection; plus the input if the shape stays the same."""

    def __init__(self, inputs: int, expanded: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.expand = Convolution(inputs, expanded)
        self.depthwise = Convolution(expanded, expanded, 3, stride, depthwise=True)
        self.project = Convolution(expanded, outputs, linear=True)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        y: Tensor = self.project(self.depthwise(self.expand(x)))
        return x + y if self.shortcut else y


class MobileFaceNet(nn.Module):
    """MobileFaceNet: 112×112 faces to descriptors of length 192, not normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = Convolution(3, 64, 3, 2)
        self.depthwise1 = Convolution(64, 64, 3, depthwise=True)
        self.project1 = Convolution(64, 64, linear=True)
        width = 64
        for number, (expanded, outputs, blocks, stride) in STAGES.items():
            stage = [
                Bottleneck(width if i == 0 else outputs, expanded, outputs, stride if i == 0 else 1)
                for i in range(blocks)
            ]
            self.add_module(f"stage{number}", nn.Sequential(*stage))
            width = outputs
        self.conv7 = Convolution(128, 512)
        self.global_depthwise = Convolution(512, 512, 7, depthwise=True, linear=True, same=False)
        self.global_project = Convolution(512, 512, linear=True)
        self.embedding = Convolution(512, 192, linear=True)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 192)`` of images ``(B, 3, 112, 112)`` RGB in ``[0, 1]``."""
        check_images(images, (112, 112))
        # On 8-bit values: (v - 127.5) / 128.
        x = (images * (255 / 128) - 127.5 / 128).contiguous(memory_format=torch.channels_last)
        for layer in self.children():
            x = layer(x)
        return x.flatten(1)


def mobilefacenet(path: Path) -> MobileFaceNet:
    """Return the frozen network with the weights of a ``.tflite`` file.

    Raises:
        WeightsError: if the file is not a TensorFlow Lite file, is damaged, or is of another network.
    """
    with torch.device("meta"):
        network = MobileFaceNet()
    load_strictly(
        network,
        read_tflite(path),
        network="arcface.mobilefacenet",
        names=dict(_tflite_names()),
        convert=_from_tflite,
        ignore=("*SpatialSqueeze_shape",),
    )
    for layer in network.modules():
        if isinstance(layer, Convolution):
            layer.widen()
    network.to(memory_format=torch.channels_last)
    return network.eval().requires_grad_(False)


def _from_tflite(name: str, tensor: Tensor) -> Tensor:
    """Convert a tensor of the file to PyTorch's layout and parametrisation."""
    if name.endswith("prelu.weight"):
        # The file writes PReLU as relu(x) + m (x - |x|), which is 2 m x for negative x.
        return 2 * tensor
    if tensor.ndim != 4:
        return tensor
    # (out, height, width, in), and (1, height, width, channels) for depthwise convolutions.
    return tensor.permute(3, 0, 1, 2) if "depthwise" in name else tensor.permute(0, 3, 1, 2)


def _tflite_names() -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, the file's)."""
    for ours, kernel, scope in _layers():
        depthwise = "depthwise" in ours
        yield f"{ours}.conv.weight", f"MobileFaceNet/{kernel}/{'depthwise_' if depthwise else ''}weights/read"
        yield f"{ours}.conv.bias", f"MobileFaceNet/{scope}/{'depthwise' if depthwise else 'Conv2D'}_bias"
        yield f"{ours}.prelu.weight", f"MobileFaceNet/{scope}/mul"


def _layers() -> Iterator[tuple[str, str, str]]:
    """Yield (our name of a layer, the file's scope of its kernel, its scope of bias and slope)."""
    net = "MobileFaceNet"
    yield "conv1", "Conv2d_0", f"{net}/Conv2d_0"
    yield "depthwise1", "SeparableConv2d", f"{net}/SeparableConv2d"
    yield "project1", "Conv", f"{net}/Conv"
    # Kernels are numbered through the whole network, biases and slopes within each block.
    count = 0
    for number, (_, _, blocks, _) in STAGES.items():
        for i in range(blocks):
            count += 1
            ours, scope = f"stage{number}.{i}", f"{net}/Conv2d_{number}_InvResBlock_{i}"
            yield f"{ours}.expand", f"Conv_{2 * count - 1}", f"{scope}/Conv"
            yield f"{ours}.depthwise", f"SeparableConv2d_{count}", f"{scope}/SeparableConv2d"
            yield f"{ours}.project", f"Conv_{2 * count}", f"{scope}/Conv_1"
    yield "conv7", "Conv2d_7", f"{net}/Conv2d_7"
    yield "global_depthwise", "Logits/SeparableConv2d", "Logits/SeparableConv2d"
    yield "global_project", "Logits/Conv", "Logits/Conv"
    yield "embedding", "Logits/LinearConv1x1", "Logits/LinearConv1x1"
