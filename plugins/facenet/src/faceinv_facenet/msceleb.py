"""FaceNet trained on MS-Celeb-1M, read from a Keras file.

We read the HDF5 file ourselves rather than with Keras, so that nothing in it is executed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import check_images
from faceinv.errors import WeightsError
from faceinv.weights import check_count, load_strictly, opened
from faceinv_facenet.inception_resnet_v1 import ConvNorm, InceptionResnetV1

#: Limit on the numbers that are read; the network has 23 million. HDF5 compresses, so the file's size is no bound.
_MOST_ELEMENTS = 50_000_000


class FaceNet(nn.Module):
    """FaceNet: 160×160 faces to unit-length 128-d descriptors.

    FaceNet's descriptors lie on the unit sphere (Schroff, Kalenichenko, Philbin, CVPR 2015, 3.1). The normalisation
    is part of the system, although it is not a layer of the file.
    """

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.trunk = InceptionResnetV1(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return unit descriptors ``(B, 128)`` of images ``(B, 3, 160, 160)`` RGB in ``[0, 1]``."""
        check_images(images, (160, 160))
        return F.normalize(self.trunk(standardise(images)))


def standardise(images: Tensor) -> Tensor:
    """Return each image standardised to zero mean and unit variance over all its values.

    Args:
        images: ``(B, 3, H, W)`` in ``[0, 1]``. The standard deviation of the 8-bit values is at least
            ``1 / sqrt(3 H W)``, as in FaceNet's own code, so a blank image gives zeros.
    """
    values = images * 255
    variance, mean = torch.var_mean(values, dim=(1, 2, 3), correction=0, keepdim=True)
    # Clamping the variance rather than its root keeps the gradient finite for a blank image.
    return (values - mean) * variance.clamp_min(1 / images[0].numel()).rsqrt()


def msceleb(path: Path, *, fold: bool = True) -> FaceNet:
    """Return the frozen network with the weights of ``facenet_keras.h5``.

    Args:
        path: HDF5 file of a model saved by Keras 2.
        fold: Fold batch normalisation into the convolutions.

    Raises:
        WeightsError: if the file is not such an HDF5 file, is damaged, or is of another network.
    """
    with torch.device("meta"):
        network = FaceNet()
    tensors = read_keras(path)
    for name in list(tensors):
        if name.endswith("_BatchNorm/beta"):
            # The file's normalisations have no gamma, which means ones.
            tensors.setdefault(name.removesuffix("beta") + "gamma", torch.ones_like(tensors[name]))
    names = dict(_keras_names(network.trunk))
    load_strictly(network.trunk, tensors, network="facenet.msceleb", names=names, convert=_from_keras)
    network.eval().requires_grad_(False)
    if fold:
        network.trunk.fold()
    return network.to(memory_format=torch.channels_last)


def read_keras(path: Path) -> dict[str, Tensor]:
    """Return the weights in a Keras 2 model file by ``"layer/weight"``, in Keras's layout.

    The model's description is not read: it may contain code, and the architecture is defined here.

    Raises:
        WeightsError: if the file is missing, is not an HDF5 file of a Keras model, or is damaged.
    """
    with opened(path):
        try:
            with h5py.File(path, "r") as file:
                if _kind(file, "model_weights") is not h5py.Group:
                    raise WeightsError("it has no group 'model_weights' of a Keras 2 model")
                return dict(_weights(file["model_weights"]))
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, WeightsError) as error:
            raise WeightsError(f"{path} cannot be read as HDF5: {' '.join(str(error).split())}.") from None


def _kind(group: h5py.Group, name: str) -> type | None:
    """Return the type of ``name``, or ``None`` for a soft or external link, which is not followed."""
    link = group.get(name, getlink=True)
    return group.get(name, getclass=True) if isinstance(link, h5py.HardLink) else None


def _weights(group: h5py.Group) -> Iterator[tuple[str, Tensor]]:
    """Yield the weights of every layer: ``model_weights/LAYER/LAYER/WEIGHT:0``."""
    check_count(len(group))
    count, elements = 0, 0
    for layer in group:
        if _kind(group, layer) is not h5py.Group or _kind(group[layer], layer) is not h5py.Group:
            continue
        scope = group[layer][layer]
        count += len(scope)
        check_count(count)
        for name in scope:
            if _kind(scope, name) is not h5py.Dataset:
                continue
            data = scope[name]
            if data.external or data.is_virtual or data.dtype != "float32" or data.shape is None:
                raise ValueError(f"the weight '{layer}/{name}' is not a float32 array stored in the file")
            # A chunk is decompressed whole, and may be larger than the array.
            elements += max(data.size, math.prod(data.chunks or ()))
            if elements > _MOST_ELEMENTS:
                raise ValueError(f"up to '{layer}/{name}', its weights have more than {_MOST_ELEMENTS:,} numbers")
            yield f"{layer}/{name.split(':')[0]}", torch.from_numpy(data[()])


def _keras_names(network: InceptionResnetV1) -> Iterator[tuple[str, str]]:
    """Yield (our name of a tensor, the file's).

    For example, ``repeat_1.0.branch2.1.bn.bias`` is ``Block35_1_Branch_2_Conv2d_0b_3x3_BatchNorm/beta``.
    """
    for name, module in network.named_modules():
        if isinstance(module, ConvNorm):
            layer = _keras_layer(name, module.conv)
            yield f"{name}.conv.weight", f"{layer}/kernel"
            yield from _norm_names(f"{name}.bn", f"{layer}_BatchNorm")
        elif name.endswith("conv2d"):
            yield f"{name}.weight", f"{_keras_layer(name, module)}/kernel"
            yield f"{name}.bias", f"{_keras_layer(name, module)}/bias"
    yield "last_linear.weight", "Bottleneck/kernel"
    yield from _norm_names("last_bn", "Bottleneck_BatchNorm")


def _norm_names(ours: str, layer: str) -> Iterator[tuple[str, str]]:
    fields = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    for field, keras in fields.items():
        yield f"{ours}.{field}", f"{layer}/{keras}"


_BLOCKS = {"repeat_1": "Block35", "repeat_2": "Block17", "repeat_3": "Block8"}


def _keras_layer(name: str, conv: nn.Module) -> str:
    """Return the file's name of a convolution, composed of block, branch, step and kernel."""
    assert isinstance(conv, nn.Conv2d)
    parts = name.split(".")
    place = parts.pop(0)
    size = f"{conv.kernel_size[0]}x{conv.kernel_size[1]}"
    if place.startswith("conv2d"):
        return f"Conv2d_{place.removeprefix('conv2d_')}_{size}"
    if place in _BLOCKS:
        place = f"{_BLOCKS[place]}_{int(parts.pop(0)) + 1}"
    elif place == "block8":
        place = "Block8_6"
    if parts[0] == "conv2d":
        return f"{place}_Conv2d_{size}"
    branch, *step = parts
    # A step of stride 2 is always 1a; the only step of a branch has no letter if its stride is 1.
    letter = "1a_" if conv.stride[0] == 2 else f"0{'abc'[int(step[0])]}_" if step else ""
    return f"{place.capitalize()}_Branch_{branch.removeprefix('branch')}_Conv2d_{letter}{size}"


def _from_keras(name: str, tensor: Tensor) -> Tensor:
    """Convert a kernel (height, width, in, out), or (in, out), to PyTorch's layout."""
    if tensor.ndim == 4:
        return tensor.permute(3, 2, 0, 1)
    return tensor.T if tensor.ndim == 2 else tensor
