"""LPIPS (Zhang, Isola, Efros, Shechtman, Wang 2018, version 0.1) on AlexNet's features, by the package lpips."""

from __future__ import annotations

import warnings
from pathlib import Path

import lpips
import torch
from torch import Tensor, nn

from faceinv.contracts import Comparison, check_images
from faceinv.errors import ShapeError
from faceinv.weights import load_strictly, read_tensors

#: The smallest side of an image that leaves the second pooling anything to pool.
_SMALLEST = 31

#: The package's name of each convolution, in the order in which the file numbers them.
_CONVOLUTIONS = ("slice1.0", "slice2.3", "slice3.6", "slice4.8", "slice5.10")

#: The heads that the package brings along.
_HEADS = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"


class PerceptualDistance(nn.Module):
    """LPIPS: the distance of two images in AlexNet's features, weighted to agree with human judgements.

    The network and its linear heads are those of the package lpips. Left to itself, the package downloads the AlexNet
    underneath; here that is read from a pinned file.

    Args:
        weights: AlexNet's convolutions, named and laid out as by Flax.

    Raises:
        WeightsError: if the file is missing, damaged, or holds other tensors.
    """

    def __init__(self, weights: Path, **_: object) -> None:
        super().__init__()
        # On the meta device nothing is drawn from the global random state, nor is the unused classifier allocated.
        with warnings.catch_warnings(), torch.device("meta"):
            # lpips asks torchvision for its AlexNet by a deprecated argument.
            warnings.simplefilter("ignore", UserWarning)
            self.network = lpips.LPIPS(net="alex", pretrained=False, pnet_rand=True, verbose=False)
        names = {
            f"{name}.{ours}": f"AlexNet_0.Conv_{index}.{theirs}"
            for index, name in enumerate(_CONVOLUTIONS)
            for ours, theirs in (("weight", "kernel"), ("bias", "bias"))
        }
        # The file has heads as well, the same ones.
        load_strictly(
            self.network.net, read_tensors(weights), network="lpips", names=names, convert=_from_flax,
            ignore=["NetLinLayer_*"],
        )  # fmt: skip
        heads = {f"{index}.model.1.weight": f"lin{index}.model.1.weight" for index in range(len(_CONVOLUTIONS))}
        # This file comes with the package's code and is trusted like it.
        published = torch.load(_HEADS, map_location="cpu", weights_only=True)
        load_strictly(self.network.lins, published, network="lpips", names=heads)

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> Tensor:
        """Return the distance of each pair, ``(B,)``, at least 0."""
        return self.distance(comparison.reconstruction, comparison.target)

    def distance(self, a: Tensor, b: Tensor) -> Tensor:
        """Return the distance of images ``(B, 3, H, W)`` in ``[0, 1]``, ``(B,)``; equation (1) of the paper.

        Raises:
            ShapeError: if the images differ in shape or are smaller than 31 pixels.
        """
        check_images(a)
        check_images(b, (a.shape[2], a.shape[3]))
        if min(a.shape[2:]) < _SMALLEST:
            raise ShapeError(
                f"LPIPS needs images of at least {_SMALLEST}x{_SMALLEST} pixels, got {a.shape[2]}x{a.shape[3]}."
            )
        distances: Tensor = self.network(a, b, normalize=True).flatten()
        return distances


def _from_flax(name: str, tensor: Tensor) -> Tensor:
    """Bring a kernel from (height, width, inputs, outputs) to PyTorch's order."""
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor
