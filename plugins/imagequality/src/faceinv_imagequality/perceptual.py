"""LPIPS: the package's linear heads on torchvision's AlexNet, which is fetched apart."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts import Comparison
from faceinv.errors import WeightsError


class PerceptualDistance(nn.Module):
    """LPIPS (Zhang et al. 2018, version 0.1) on AlexNet.

    Args:
        backbone: torchvision's AlexNet, a state dict.

    Raises:
        WeightsError: the package lpips is not installed, or the file is not AlexNet.
    """

    def __init__(self, backbone: Path, **_: object) -> None:
        super().__init__()
        try:
            import lpips
        except ImportError as error:
            raise WeightsError(
                f"LPIPS needs the package lpips: pip install 'faceinv-imagequality[lpips]' ({error})."
            ) from None
        with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
            # Built with a random backbone, so that nothing is downloaded behind the store's back.
            warnings.simplefilter("ignore")
            self.network = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
        try:
            tensors = torch.load(backbone, map_location="cpu", weights_only=True)
            features = self.network.net
            own = {name: f"features.{name.partition('.')[2]}" for name in features.state_dict()}
            features.load_state_dict({name: tensors[published] for name, published in own.items()})
        except (KeyError, TypeError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            reason = " ".join(str(error).split())[:200]
            raise WeightsError(f"{backbone} is not torchvision's AlexNet: {reason}.") from None

    @torch.no_grad()
    def forward(self, comparison: Comparison) -> Tensor:
        """Return the distance of each pair, ``(B,)``."""
        distance: Tensor = self.network(comparison.reconstruction, comparison.target, normalize=True)
        return distance.flatten()
