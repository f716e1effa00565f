"""Random Gaussian blobs, kept if they raise the similarity: Razzhigaev et al., "Black-Box Face Recovery", 2020.

It needs neither a generator nor training pairs: its only prior is that faces are roughly symmetric.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from faceinv.attack import Best, Noise, rows_of
from faceinv.contracts import Inversion, InversionTask


class Blobs:
    """Add random blobs and keep those that lower the objective: first grey symmetric ones, then any.

    Args:
        candidates: Blobs tried per step, of which the best may be kept.
        symmetric: Share of the budget in which blobs are grey and mirrored about the vertical axis.
        widest: Standard deviation of the widest blob, as a share of the frame.
        narrowest: Standard deviation of the narrowest blob, as a share of the frame.
        strength: Standard deviation of a blob's amplitude, in pixel values.
    """

    def __init__(
        self,
        candidates: int = 2,
        symmetric: float = 0.7,
        widest: float = 0.25,
        narrowest: float = 0.04,
        strength: float = 0.25,
    ) -> None:
        self.candidates = candidates
        self.symmetric = symmetric
        self.widest = widest
        self.narrowest = narrowest
        self.strength = strength

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images made of blobs, without latents."""
        noise, targets = Noise(task), len(task.descriptors)
        stream = torch.Generator().manual_seed(0)
        sample = task.generator.sample(1, task.space, stream).to(task.descriptors)
        # Only the size of the generator's images is used.
        start = torch.full_like(task.generator(sample, task.space), 0.5).repeat(targets, 1, 1, 1)
        best = Best.none(start)
        spent = 0
        while spent < task.steps:
            n = min(self.candidates, task.steps - spent) if spent else 1
            tried = best.candidate[:, None]
            if spent:
                tried = (tried + self._blobs(noise, n, spent / task.steps, start)).clamp(0, 1)
            total, terms = task.score(rows_of(targets, n), images=tried.flatten(0, 1))
            best.offer(tried, total, terms)
            spent += n
        return Inversion(None, best.candidate, start, best.trajectory())

    def _blobs(self, noise: Noise, n: int, progress: float, like: Tensor) -> Tensor:
        """Return ``n`` blobs per target, ``(B, n, 3, H, W)``; narrower ones as ``progress`` goes from 0 to 1."""
        height, width = like.shape[2:]
        rows = (torch.arange(height, device=like.device, dtype=like.dtype) + 0.5) / height
        columns = (torch.arange(width, device=like.device, dtype=like.dtype) + 0.5) / width
        # Always the same draws, so that a target's random stream does not depend on the stage.
        where, size, shape = noise.uniform(n, 2), noise.uniform(n), noise.uniform(n)
        colour = self.strength * noise.normal(n, 3)
        floor = self.widest * (self.narrowest / self.widest) ** progress
        sigma = torch.exp(math.log(floor) + size * math.log(self.widest / floor))
        stretch = 2 ** (shape - 0.5)
        y, x = where[..., 0, None], where[..., 1, None]
        down = torch.exp(-0.5 * ((rows - y) / (sigma * stretch)[..., None]).square())
        across = torch.exp(-0.5 * ((columns - x) / (sigma / stretch)[..., None]).square())
        if progress < self.symmetric:
            across = across + across.flip(-1)
            colour = colour[..., :1].expand(-1, -1, 3)
        return colour[..., None, None] * (down[..., :, None] * across[..., None, :])[:, :, None]
