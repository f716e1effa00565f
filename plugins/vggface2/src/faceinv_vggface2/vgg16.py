"""VGG-Face (Parkhi, Vedaldi, Zisserman, BMVC 2015): VGG-16 up to fc7; the trunk is timm's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import timm
import torch
from torch import Tensor, nn

from faceinv.contracts import check_images
from faceinv.weights import load_strictly, read_tensors

#: Mean of the training images, RGB on 8-bit values, from the description of the published file.
MEAN = (129.186279296875, 104.76238250732422, 93.59396362304688)


class VggFace(nn.Module):
    """VGG-16: 224×224 faces to descriptors of length 4,096 (fc7 after its ReLU), not normalised."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.trunk = timm.create_model("vgg16", pretrained=False, num_classes=0)
        self.register_buffer("mean", torch.tensor(MEAN, device="cpu").view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 4096)`` of images ``(B, 3, 224, 224)`` RGB in ``[0, 1]``."""
        check_images(images, (224, 224))
        x = (images * 255 - self.mean).contiguous(memory_format=torch.channels_last)
        descriptors: Tensor = self.trunk(x)
        return descriptors


def vgg16(path: Path, *, name: str) -> VggFace:
    """Return the frozen network with the weights of ``vgg_face_dag.pth``.

    Args:
        path: State dict, with or without the classifier ``fc8``.
        name: The encoder's name, for messages.

    Raises:
        WeightsError: if the file cannot be read, names code, or is of another network.
    """
    with torch.device("meta"):
        network = VggFace()
    names = dict(_dag_names(network.trunk))
    load_strictly(network.trunk, read_tensors(path), network=name, names=names, convert=_from_dense, ignore=("fc8.*",))
    return network.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _from_dense(name: str, tensor: Tensor) -> Tensor:
    """Reshape fc6 and fc7 to the convolutions that timm uses instead."""
    if tensor.ndim != 2:
        return tensor
    side = 7 if "fc1" in name and tensor.shape[1] % 49 == 0 else 1
    return tensor.reshape(len(tensor), -1, side, side)


def _dag_names(trunk: nn.Module) -> Iterator[tuple[str, str]]:
    """Yield (timm's name of a tensor, the file's): ``features.2.weight`` is ``conv1_2.weight``."""
    stage, step = 1, 0
    features = trunk.get_submodule("features")
    assert isinstance(features, nn.Sequential)
    for index, layer in enumerate(features):
        if isinstance(layer, nn.MaxPool2d):
            stage, step = stage + 1, 0
        elif isinstance(layer, nn.Conv2d):
            step += 1
            for field in ("weight", "bias"):
                yield f"features.{index}.{field}", f"conv{stage}_{step}.{field}"
    for theirs, ours in (("fc6", "fc1"), ("fc7", "fc2")):
        for field in ("weight", "bias"):
            yield f"pre_logits.{ours}.{field}", f"{theirs}.{field}"
