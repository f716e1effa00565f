"""FaceRes: a MobileNet (Howard et al. 2017) of the HSE that was trained to recognise people, then age and sex.

The descriptor is its last map, averaged.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.weights import load_strictly
from faceinv_encoders.tfjs import convolution_kernels, read_tfjs

#: Channels and stride of each block.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))


#: Mean of ImageNet, RGB on 8-bit values. The authors' code takes BGR less this mean (``facial_analysis.py``). The
#: package that ships the files feeds RGB from 0 to 255, with which the network tells people apart less well.
_MEAN = (123.68, 116.779, 103.939)


def _convolution(inputs: int, outputs: int, stride: int, groups: int = 1) -> nn.Conv2d:
    """Return a 3×3 convolution with TensorFlow's padding ``SAME`` on a map of even sides.

    With stride 2, ``SAME`` pads after the last row and column only. A kernel of 4×4 whose first row and column are
    zero, with padding on all sides, gives the same sums without copying the map.
    """
    return nn.Conv2d(inputs, outputs, 4 if stride == 2 else 3, stride, 1, groups=groups)


class Block(nn.Module):
    """A depthwise convolution and a projection, each with ReLU6."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.depthwise = _convolution(inputs, inputs, stride, groups=inputs)
        self.project = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, inputs, H, W)`` to ``(B, outputs, H / stride, W / stride)``."""
        return F.relu6(self.project(F.relu6(self.depthwise(x))))


class MobileNet(nn.Module):
    """MobileNet up to its last map, averaged."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = _convolution(3, 32, 2)
        widths = (32, *(width for width, _ in _BLOCKS))
        self.blocks = nn.Sequential(*(Block(widths[i], width, stride) for i, (width, stride) in enumerate(_BLOCKS)))

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, 1024)`` for pixels ``(B, 3, 224, 224)`` as the file's graph takes them."""
        x = x.contiguous(memory_format=torch.channels_last)
        x = self.blocks(F.relu6(self.conv1(x)))
        descriptors: Tensor = x.mean((2, 3))
        return descriptors


class FaceRes(nn.Module):
    """FaceRes: 224×224 faces to descriptors of length 1,024, none of them negative and not normalised."""

    mean: Tensor

    def __init__(self, trunk: MobileNet) -> None:
        super().__init__()
        self.trunk = trunk
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 1024)`` of images ``(B, 3, 224, 224)`` RGB in ``[0, 1]``."""
        check_images(images, (224, 224))
        descriptors: Tensor = self.trunk((images * 255 - self.mean).flip(1))
        return descriptors


def faceres(manifest: Path, content: Path) -> FaceRes:
    """Return the frozen network with the weights of ``faceres-deep.json`` and ``faceres-deep.bin``.

    Raises:
        WeightsError: if the files are not a TensorFlow.js graph model, are damaged, or are of another network.
    """
    with torch.device("meta"):
        trunk = MobileNet()
    tensors = dict(convolution_kernels(read_tfjs(manifest, content)))
    load_strictly(
        trunk,
        dict(_scaled(tensors)),
        network="faceres.hse",
        names=dict(_names()),
        convert=_widened,
        ignore=("*_relu/*", "global_pooling/*", "feats/*", "age_pred/*", "gender_pred/*"),
    )
    return FaceRes(trunk).to(memory_format=torch.channels_last).eval().requires_grad_(False)


def _names() -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, the file's); its normalisations are a scale ``mul`` and a shift ``sub``."""
    layers = [("conv1", "conv1", "convolution/merged_input")]
    for i in range(len(_BLOCKS)):
        layers += [(f"blocks.{i}.depthwise", f"conv_dw_{i + 1}", "depthwise_kernel")]
        layers += [(f"blocks.{i}.project", f"conv_pw_{i + 1}", "convolution/merged_input")]
    for ours, theirs, kernel in layers:
        yield f"{ours}.weight", f"{theirs}/{kernel}"
        yield f"{ours}.bias", f"{theirs}_bn/batchnorm_1/sub"


def _scaled(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors with each scale folded into its depthwise kernel; the other kernels already include theirs."""
    for name, tensor in tensors.items():
        scale = tensors.get(f"{name.split('/')[0]}_bn/batchnorm_1/mul")
        if name.endswith("depthwise_kernel") and scale is not None and len(scale) == len(tensor):
            yield name, tensor * scale.view(-1, 1, 1, 1)
        elif not name.endswith("/batchnorm_1/mul"):
            yield name, tensor


def _widened(name: str, kernel: Tensor) -> Tensor:
    """Put a row and a column of zeros before the kernel of a convolution of stride 2; see :func:`_convolution`."""
    strided = {
        "conv1.weight",
        *(f"blocks.{i}.depthwise.weight" for i, (_, stride) in enumerate(_BLOCKS) if stride == 2),
    }
    return F.pad(kernel, (1, 0, 1, 0)) if name in strided and kernel.ndim == 4 else kernel
