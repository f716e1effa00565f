"""Helpers for methods that search: random numbers per target, best candidates, convergence, spread of latents."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts.methods import InversionTask
from faceinv.contracts.networks import Generator
from faceinv.hardware import sent
from faceinv.storage.hashing import seed_of


class Noise:
    """A stream of random numbers per target, so that a target's numbers do not depend on its batch.

    Numbers are drawn on the CPU and moved, so that they are the same on every device.

    Args:
        task: Gives the seeds of the streams, and with its descriptors the device and type of the numbers.
    """

    def __init__(self, task: InversionTask) -> None:
        self._device, self._dtype = task.descriptors.device, task.descriptors.dtype
        self._streams = [torch.Generator().manual_seed(seed) for seed in task.seeds]

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers ``(B, *shape)``."""
        return self._sent([torch.randn(*shape, generator=stream, device="cpu") for stream in self._streams])

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return numbers ``(B, *shape)`` between ``low`` and ``high``."""
        drawn = self._sent([torch.rand(*shape, generator=stream, device="cpu") for stream in self._streams])
        return low + (high - low) * drawn

    def latents(self, n: int, generator: Generator, space: str) -> Tensor:
        """Return ``n`` samples of the generator per target, ``(B, n, *latent_shape)``."""
        return self._sent([generator.sample(n, space, stream) for stream in self._streams])

    def _sent(self, drawn: list[Tensor]) -> Tensor:
        return sent(torch.stack(drawn), self._device, self._dtype)


@dataclass
class Best:
    """The best candidate of each target so far, and its history.

    Args:
        total: ``(B,)``, the smallest value of the objective so far.
        terms: Its unweighted terms, by name.
        candidate: ``(B, *shape)``, the candidate with this value.
    """

    total: Tensor
    terms: dict[str, Tensor]
    candidate: Tensor

    @classmethod
    def none(cls, candidate: Tensor) -> Best:
        """Return a start at ``candidate`` ``(B, *shape)``, with an infinite objective."""
        return cls(candidate.new_full((len(candidate),), torch.inf), {}, candidate)

    def __post_init__(self) -> None:
        self._series: dict[str, list[Tensor]] = {}

    def offer(self, candidates: Tensor, total: Tensor, terms: dict[str, Tensor], rows: Tensor | None = None) -> Tensor:
        """Keep better candidates, and record the best after each of ``n`` candidates per target.

        Args:
            candidates: ``(K, n, *shape)``.
            total: ``(K * n,)``, their objectives, grouped by target.
            terms: Their terms, likewise.
            rows: ``(K,)``, their targets, if they are not for all ``B``.

        Returns:
            Which targets improved, ``(B,)``.
        """
        targets, n = candidates.shape[:2]
        before = self.total
        values = total.view(targets, n)

        def put(old: Tensor, new: Tensor) -> Tensor:
            return new if rows is None else old.index_copy(0, rows, new)

        def own(kept: Tensor) -> Tensor:
            return kept if rows is None else kept[rows]

        for place in range(n):
            better = values[:, place] < own(self.total)
            self.total = put(self.total, torch.where(better, values[:, place], own(self.total)))
            for name, value in terms.items():
                given = value.view(targets, n)[:, place]
                old = self.terms.get(name)
                self.terms[name] = given if old is None else put(old, torch.where(better, given, own(old)))
            shaped = better.view(-1, *[1] * (candidates.ndim - 2))
            self.candidate = put(self.candidate, torch.where(shaped, candidates[:, place], own(self.candidate)))
            for name, value in ({"total": self.total} | self.terms).items():
                self._series.setdefault(name, []).append(value)
        return self.total < before

    def trajectory(self) -> dict[str, Tensor]:
        """Return the best so far after each candidate, ``(n, B)`` by name."""
        return {name: torch.stack(series) for name, series in self._series.items()}


class Convergence:
    """Which targets of a batch still improve, so that converged ones can be removed from it.

    A target has converged if its best value has not fallen by more than a share of itself for some steps. Each target
    is judged by its own values alone::

        going = Convergence(len(latents), patience, tolerance, like=latents)
        for _ in range(steps):
            ...  # a step for the targets going.rows; ``best`` holds their best so far
            stay = going.step(best.total)
            if stay is not None:
                latents = optimizer.keep(stay)
                if not len(stay):
                    break
                prepared = task.objective.prepare(task.descriptors[going.rows])

    Args:
        targets: Number of targets, ``B``.
        patience: Steps without progress after which a target has converged; 0 means never.
        tolerance: Progress is a fall by more than this share of the best value.
        like: A tensor on the device of the values.
    """

    #: Steps between two checks for convergence, since each one synchronises with the device.
    _EVERY = 5

    def __init__(self, targets: int, patience: int, tolerance: float, like: Tensor) -> None:
        #: Targets that have not converged, ``(K,)``.
        self.rows = torch.arange(targets, device=like.device)
        self._patience, self._tolerance = patience, tolerance
        self._mark = like.new_full((targets,), torch.inf)
        self._waited = torch.zeros(targets, dtype=torch.long, device=like.device)
        self._steps = 0

    def step(self, best: Tensor) -> Tensor | None:
        """Count a step; remove targets from ``rows`` that have converged.

        Args:
            best: ``(B,)``, the best value of every target, including removed ones.

        Returns:
            ``None`` if no target was removed; otherwise the places ``(K',)`` in the former ``rows`` of those that
            remain. A method indexes whatever it holds per target with them. Empty if all have converged.
        """
        if not self._patience:
            return None
        progress = best < self._mark - self._tolerance * self._mark.abs().nan_to_num(posinf=0.0)
        self._mark = torch.where(progress, best, self._mark)
        self._waited = torch.where(progress, 0, self._waited + 1)
        self._steps += 1
        if self._steps % self._EVERY:
            return None
        stays = self._waited[self.rows] < self._patience
        if bool(stays.all()):
            return None
        (places,) = stays.nonzero(as_tuple=True)
        self.rows = self.rows[places]
        return places


def rows_of(targets: int, candidates: int) -> Tensor:
    """Return the target of each candidate, for ``candidates`` candidates per target: 0, 0, …, 1, 1, …

    On the CPU, where queries are counted.
    """
    return torch.arange(targets, device="cpu").repeat_interleave(candidates)


def spread(generator: Generator, space: str, like: Tensor, samples: int = 256) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation ``(*latent_shape)`` of the generator's own latents."""
    # On the CPU, so that the samples are the same on every device.
    stream = torch.Generator().manual_seed(seed_of("faceinv spread of latents"))
    latents = generator.sample(samples, space, stream).to(like)
    return latents.mean(0), latents.std(0).clamp_min(1e-6)
