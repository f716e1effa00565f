"""What methods that search share: each target's own random numbers, the best so far, who has converged, spread."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts.methods import InversionTask
from faceinv.contracts.networks import Generator
from faceinv.storage.hashing import seed_of


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

    def offer(self, candidates: Tensor, total: Tensor, terms: dict[str, Tensor], rows: Tensor | None = None) -> Tensor:
        """Take what is better, and note the best after each of ``n`` candidates of every target.

        Args:
            candidates: ``(K, n, *shape)``.
            total: ``(K * n,)`` their values, a target's candidates one after the other.
            terms: The terms likewise.
            rows: ``(K,)`` the targets that they are for, where those are not all ``B``.

        Returns:
            Which targets got a better one, ``(B,)``.
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
    """Which targets of a batch still get better, so that the others leave it and cost nothing more.

    A target has converged when its best value has not fallen by more than a share of itself for some steps. It is
    judged by its own values alone::

        going = Convergence(len(latents), patience, tolerance, like=latents)
        for _ in range(steps):
            ...  # a step of the targets going.rows, whose best so far is in ``best``
            stay = going.step(best.total)
            if stay is not None:
                latents = keep_rows(optimizer, stay)
                if not len(stay):
                    break
                prepared = task.objective.prepare(task.descriptors[going.rows])

    Args:
        targets: Their number, ``B``.
        patience: Steps without progress after which a target has converged; 0: none ever does.
        tolerance: What counts as progress: a fall by more than this share of the best value.
        like: A tensor on the device of the values.
    """

    #: Steps between two looks at who has converged, since a device has to be waited for.
    _EVERY = 5

    def __init__(self, targets: int, patience: int, tolerance: float, like: Tensor) -> None:
        #: The targets that are still in, ``(K,)``.
        self.rows = torch.arange(targets, device=like.device)
        self._patience, self._tolerance = patience, tolerance
        self._mark = like.new_full((targets,), torch.inf)
        self._waited = torch.zeros(targets, dtype=torch.long, device=like.device)
        self._steps = 0

    def step(self, best: Tensor) -> Tensor | None:
        """Take note of a step; if targets converged, drop them from ``rows`` and say who of the former stay.

        Args:
            best: ``(B,)`` the best value of every target, those that left included.

        Returns:
            ``None`` where nobody leaves; otherwise ``(K',)``, places in what ``rows`` was before: what a method holds
            for each target that was in is to be indexed with it. Empty when all have converged.
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


def keep_rows(optimizer: torch.optim.Optimizer, places: Tensor) -> Tensor:
    """Make an optimiser of one tensor go on with some of its rows, their moments included; return the new tensor.

    Args:
        optimizer: Such as Adam on latents ``(K, *shape)``.
        places: ``(K',)`` which rows to keep.
    """
    (group,) = optimizer.param_groups
    (old,) = group["params"]
    new: Tensor = old.detach()[places].requires_grad_()
    state = optimizer.state.pop(old, {})
    optimizer.state[new] = {
        name: value[places] if isinstance(value, Tensor) and value.shape == old.shape else value
        for name, value in state.items()
    }
    group["params"] = [new]
    return new


def rows_of(targets: int, candidates: int, like: Tensor) -> Tensor:
    """Return which target each of ``candidates`` candidates of every target is for: 0, 0, …, 1, 1, …"""
    return torch.arange(targets, device=like.device).repeat_interleave(candidates)


def spread(generator: Generator, space: str, like: Tensor, samples: int = 256) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each number of a latent, ``(*latent_shape)``, over the generator's own."""
    stream = torch.Generator(like.device).manual_seed(seed_of("faceinv spread of latents"))
    latents = generator.sample(samples, space, stream).to(like)
    return latents.mean(0), latents.std(0).clamp_min(1e-6)
