"""Held-out samples of the generator."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext
from faceinv.data import hashed_splits
from faceinv.errors import UsageError


class Synthetic(Dataset):
    """Samples of the generator, each from its own stream of random numbers.

    Sample ``k`` depends only on the seed and ``k``: its latent is drawn from a generator seeded with the SHA-256 of
    ``synthetic-target/<seed>/<k>``, which no training uses. A larger limit therefore adds samples without changing
    any, and no sample occurs in training. Latents are discarded, so the data set gives access to images only.

    Args:
        path: Must be ``None``.
        context: The run's generator, space, seed and limit.
        count: Number of samples if the run sets no limit.

    Raises:
        UsageError: the run has no generator.
    """

    def __init__(self, path: Path | None = None, *, context: DatasetContext, count: int = 64) -> None:
        if path is not None:
            raise UsageError(f"The data set 'synthetic' samples the generator and takes no path, got '{path}'.")
        if context.generator is None:
            raise UsageError("The data set 'synthetic' samples a generator; name one with --generator.")
        self._generator = context.generator
        self._space = context.space
        self._seed = context.seed
        self.framing = context.framing
        self.ids = tuple(f"sample-{k:04d}" for k in range(count if context.limit is None else context.limit))
        self.splits = hashed_splits(self.ids)

    def fingerprint(self) -> str:
        """Return a hash of the seed and of the generator's weights, which determine the images."""
        digest = hashlib.sha256(f"{self._seed} {self._space} {len(self.ids)}".encode())
        for name, tensor in self._generator.state_dict().items():
            digest.update(name.encode() + tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        return digest.hexdigest()[:16]

    @torch.no_grad()
    def load(self, index: int) -> Tensor:
        """Return sample ``index`` as ``(3, H, W)`` in ``[0, 1]``, on the CPU."""
        rng = torch.Generator().manual_seed(stream_seed(self._seed, index))
        latents = self._generator.sample(1, self._space, rng)
        # Not every generator has parameters: StyleGAN2's weights are buffers.
        weight = next(iter(self._generator.state_dict().values()), None)
        if weight is not None:
            latents = latents.to(weight)
        image: Tensor = self._generator(latents, self._space)[0]
        return image.float().cpu()


def stream_seed(seed: int, index: int) -> int:
    """Return the seed of sample ``index``, 63 bits."""
    digest = hashlib.sha256(f"synthetic-target/{seed}/{index}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
