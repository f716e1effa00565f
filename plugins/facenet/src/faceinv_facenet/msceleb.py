"""FaceNet trained on MS-Celeb-1M, read from the Keras file that carries it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.errors import WeightsError
from faceinv.tensors import load_strictly
from faceinv_facenet.inception_resnet_v1 import InceptionResnetV1

#: No network of this kind has a tensor beyond this many numbers; nothing larger is read.
_MOST_ELEMENTS = 50_000_000


class FaceNet(nn.Module):
    """160×160 faces to descriptors of length 128 and unit length.

    FaceNet's descriptors lie on the unit sphere (Schroff, Kalenichenko, Philbin, CVPR 2015, 3.1); the
    normalisation is no layer of the file but part of the system.
    """

    def __init__(self, dim: int = 128) -> None:
        super().__init__()
        self.trunk = InceptionResnetV1(dim)

    def forward(self, images: Tensor) -> Tensor:
        """Return unit descriptors ``(B, 128)`` of images ``(B, 3, 160, 160)`` RGB in ``[0, 1]``."""
        return F.normalize(self.trunk(standardise(images)))


def standardise(images: Tensor) -> Tensor:
    """Return each image with zero mean and unit variance over all its values.

    Args:
        images: ``(B, 3, H, W)`` in ``[0, 1]``. On 8-bit values the standard deviation is bounded below
            by ``1 / sqrt(3 H W)``, FaceNet's own floor, so a blank image gives zeros.
    """
    values = images * 255
    variance, mean = torch.var_mean(values, dim=(1, 2, 3), correction=0, keepdim=True)
    # Bounding the variance and not its root keeps the gradient finite on a blank image.
    return (values - mean) * variance.clamp_min(1 / images[0].numel()).rsqrt()


def msceleb(path: Path, *, fold: bool = True) -> FaceNet:
    """Return the frozen network with the weights of ``facenet_keras.h5``.

    Args:
        path: HDF5 file as Keras 2 saves a model.
        fold: Whether batch normalisation is folded into the convolutions.

    Raises:
        WeightsError: the file is no such HDF5 file, is damaged, or holds another network.
    """
    with torch.device("meta"):
        network = FaceNet()
    load_strictly(network.trunk, _rename(read_keras(path)), network="facenet.msceleb")
    network.eval().requires_grad_(False)
    if fold:
        network.trunk.fold()
    return network.to(memory_format=torch.channels_last)


def read_keras(path: Path) -> dict[str, Tensor]:
    """Return the weights of a Keras 2 model file as ``"layer/weight"`` to tensor, in Keras's layout.

    The model's description is not read: it may carry code, and the architecture is ours.

    Raises:
        WeightsError: the file is missing, is no HDF5 file of a Keras model, or is damaged.
    """
    try:
        with h5py.File(path, "r") as file:
            if _kind(file, "model_weights") is not h5py.Group:
                raise WeightsError(f"{path} is no model file of Keras 2: it has no group 'model_weights'.")
            return dict(_weights(file["model_weights"]))
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file.") from None
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read as HDF5: {' '.join(str(error).split())}.") from None


def _kind(group: h5py.Group, name: str) -> type | None:
    """Say what ``name`` is, without following a link that leads out of the file."""
    link = group.get(name, getlink=True)
    return group.get(name, getclass=True) if isinstance(link, h5py.HardLink) else None


def _weights(group: h5py.Group, layer: str = "") -> Iterator[tuple[str, Tensor]]:
    for name in group:
        kind = _kind(group, name)
        if kind is h5py.Group:
            yield from _weights(group[name], layer or name)
        elif kind is h5py.Dataset:
            data = group[name]
            if data.external or data.is_virtual or data.dtype != "float32" or data.size > _MOST_ELEMENTS:
                raise ValueError(f"the weight '{layer}/{name}' is no array of float32 stored in the file")
            yield f"{layer}/{name.split(':')[0]}", torch.from_numpy(data[()])


#: What a layer's weights are called here.
_FIELDS = {"beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var", "kernel": "weight"}


def _rename(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Bring names and layouts of the file to the network's; what is not known keeps its name."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        layer, _, field = name.rpartition("/")
        is_norm = layer.endswith("_BatchNorm")
        ours = _layer(layer.removesuffix("_BatchNorm"), is_norm)
        if field == "kernel" and tensor.ndim in (2, 4):
            # Keras: (height, width, in, out), or (in, out) for a dense layer.
            tensor = tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T
        renamed[f"{ours}.{_FIELDS.get(field, field)}"] = tensor
        if field == "beta":
            # The file's normalisations have no gamma.
            renamed[f"{ours}.weight"] = torch.ones_like(tensor)
    return renamed


#: Place of a convolution in its branch, from the letter in its name.
_STEP = {"0a": 0, "0b": 1, "0c": 2, "1a": 2}


def _layer(name: str, is_norm: bool) -> str:
    """Return our name of a Keras layer: ``Block35_1_Branch_2_Conv2d_0b_3x3`` → ``repeat_1.0.branch2.1.conv``."""
    part = "bn" if is_norm else "conv"
    if name == "Bottleneck":
        return "last_bn" if is_norm else "last_linear"
    if stem := re.fullmatch(r"Conv2d_(\d[ab])_\dx\d", name):
        return f"conv2d_{stem[1]}.{part}"
    if block := re.fullmatch(r"Block(35|17|8)_(\d+)_(.+)", name):
        number = int(block[2]) - 1
        place = "block8" if block[1] == "8" and number == 5 else f"repeat_{_REPEAT[block[1]]}.{number}"
        rest = block[3]
    elif mixed := re.fullmatch(r"Mixed_(6a|7a)_(.+)", name):
        place, rest = f"mixed_{mixed[1]}", mixed[2]
    else:
        return name
    if rest == "Conv2d_1x1":
        return f"{place}.conv2d"
    branch = re.fullmatch(r"Branch_(\d)_Conv2d_(?:(0a|0b|0c|1a)_)?\dx\d", rest)
    if branch is None:
        return name
    inside = _inside(place, int(branch[1]), branch[2])
    return f"{place}.branch{branch[1]}{inside}.{part}"


_REPEAT = {"35": 1, "17": 2, "8": 3}


def _inside(place: str, branch: int, step: str | None) -> str:
    """Return the place in a branch, or nothing where the branch is a single convolution."""
    if step is None or (place == "mixed_6a" and branch == 0):
        return ""
    if place == "mixed_7a" and branch < 2:
        return {"0a": ".0", "1a": ".1"}[step]
    return f".{_STEP[step]}"
