"""What methods that search share: random numbers of each target's own, the best so far, the spread of latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts import Generator, InversionTask
from faceinv.seeds import seed_of


class Noise:
    """A stream of random numbers for each target, so that none feels its batch mates.

    Drawn on the CPU and moved, so that they are the same on every device.

    Args:
        task: Whose targets' seeds the streams begin with, and whose descriptors' device and type numbers get.
    """

    def __init__(self, task: InversionTask) -> None:
        self._like = task.descriptors
        self._streams = [torch.Generator().manual_seed(seed) for seed in task.seeds]

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers ``(B, *shape)``."""
        return torch.stack([torch.randn(*shape, generator=stream) for stream in self._streams]).to(self._like)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return numbers ``(B, *shape)`` between ``low`` and ``high``."""
        drawn = torch.stack([torch.rand(*shape, generator=stream) for stream in self._streams]).to(self._like)
        return low + (high - low) * drawn

    def latents(self, n: int, generator: Generator, space: str) -> Tensor:
        """Return ``n`` of the generator's own samples for each target, ``(B, n, *latent_shape)``."""
        return torch.stack([generator.sample(n, space, stream) for stream in self._streams]).to(self._like)


@dataclass
class Best:
    """The best candidate of each target, and how it came about.

    Args:
        total: ``(B,)`` the least value of the objective so far.
        terms: Its terms before weighting, by name.
        candidate: ``(B, *shape)`` the candidate that has it.
    """

    total: Tensor
    terms: dict[str, Tensor]
    candidate: Tensor

    @classmethod
    def none(cls, candidate: Tensor) -> Best:
        """Return a start ``(B, *shape)`` that any scored candidate is better than."""
        return cls(candidate.new_full((len(candidate),), torch.inf), {}, candidate)

    def __post_init__(self) -> None:
        self._series: dict[str, list[Tensor]] = {}

    def offer(self, candidates: Tensor, total: Tensor, terms: dict[str, Tensor]) -> Tensor:
        """Take what is better, and note the best after each of ``n`` candidates of every target.

        Args:
            candidates: ``(B, n, *shape)``.
            total: ``(B * n,)`` their values, a target's candidates one after the other.
            terms: The terms likewise.

        Returns:
            Which targets got a better one, ``(B,)``.
        """
        rows, n = len(candidates), candidates.shape[1]
        before = self.total
        values = total.view(rows, n)
        for place in range(n):
            better = values[:, place] < self.total
            self.total = torch.where(better, values[:, place], self.total)
            for name, value in terms.items():
                own = value.view(rows, n)[:, place]
                self.terms[name] = torch.where(better, own, self.terms.get(name, own))
            shaped = better.view(-1, *[1] * (candidates.ndim - 2))
            self.candidate = torch.where(shaped, candidates[:, place], self.candidate)
            for name, value in ({"total": self.total} | self.terms).items():
                self._series.setdefault(name, []).append(value)
        return self.total < before

    def trajectory(self) -> dict[str, Tensor]:
        """Return the best so far after each candidate, ``(n, B)`` by name."""
        return {name: torch.stack(series) for name, series in self._series.items()}


def rows_of(targets: int, candidates: int, like: Tensor) -> Tensor:
    """Return which target each of ``candidates`` candidates of every target is for: 0, 0, …, 1, 1, …"""
    return torch.arange(targets, device=like.device).repeat_interleave(candidates)


def spread(generator: Generator, space: str, like: Tensor, samples: int = 256) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each number of a latent, ``(*latent_shape)``, over the generator's own."""
    stream = torch.Generator(like.device).manual_seed(seed_of("faceinv spread of latents"))
    latents = generator.sample(samples, space, stream).to(like)
    return latents.mean(0), latents.std(0).clamp_min(1e-6)
