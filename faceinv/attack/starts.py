"""Different starts for several answers: latents that the regressor's usual errors leave possible."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from faceinv.attack.pairs import Pairs
from faceinv.errors import PluginError

#: Most numbers of a latent whose errors are drawn together; of larger ones each is drawn by itself.
_MOST = 1024


class VariedStart:
    """A latent regressor plus an error that is drawn once for each target.

    Under a normal distribution of latents given the descriptor, such starts are draws from it.

    Args:
        regressor: Maps descriptors to latents.
        pairs: Samples that show its errors.
        seeds: One for each target of a batch.
    """

    def __init__(self, regressor: Callable[[Tensor], Tensor], pairs: Pairs, seeds: Sequence[int]) -> None:
        self._regressor = regressor
        with torch.inference_mode():
            errors = (pairs.latents - regressor(pairs.descriptors).cpu()).flatten(1).double()
        draws = torch.stack(
            [torch.randn(errors.shape[1], generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        ).double()
        if errors.shape[1] > _MOST:
            noise = draws * errors.square().mean(0).sqrt()
        else:
            moments = errors.T @ errors / len(errors)
            values, axes = torch.linalg.eigh(moments)
            noise = draws * values.clamp_min(0).sqrt() @ axes.T
        self._noise = noise.float().view(len(seeds), *pairs.latents.shape[1:])

    def __call__(self, descriptors: Tensor) -> Tensor:
        """Return a start ``(B, *latent_shape)`` for each target of the batch.

        Raises:
            PluginError: if a method asks for another number of starts.
        """
        if len(descriptors) != len(self._noise):
            raise PluginError(
                f"--answers starts each target of a batch once, and the method asks for {len(descriptors)} starts of "
                f"{len(self._noise)} targets."
            )
        return self._regressor(descriptors) + self._noise.to(descriptors)
