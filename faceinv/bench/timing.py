"""The speed of this machine: some passes through the networks that a run needs, or through a stand-in for them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from faceinv.bench.cell import Cell
from faceinv.bench.config import BenchConfig
from faceinv.bench.naming import networks_of
from faceinv.bench.phases import PASS, Speed
from faceinv.bench.setup import make_loader
from faceinv.models.loader import FramedEncoder
from faceinv.plugins.host import Host
from faceinv.weights.store import WeightStore

#: Seconds that the passes of all networks may take together, those of the stand-in included.
_WHOLE = 2.0
#: Images at a time.
_BATCH = 4
#: Passes of the default chain that take as long as one of the stand-in.
_STAND_IN = 1.36


class Timing:
    """Measures how long an image takes through the networks of cells, once for each pair of them.

    Args:
        config: The config; its own weights files are read.
        grid: The cells.
        host: The plugins.
        store: The weights files; none is fetched.
    """

    def __init__(self, config: BenchConfig, grid: Sequence[Cell], host: Host, store: WeightStore) -> None:
        self._config, self._host, self._store = config, host, store
        self._loader = make_loader(host, store, weights=config.weights, device=config.device)
        self._pairs = {(cell.encoder, cell.generator): cell for cell in grid}
        self._timed = cache(self._time)
        self._seconds = _WHOLE / (1 + len(self._pairs))
        device = self._loader.device
        self._stand_in = _STAND_IN * _fastest(
            _stand_in(device), torch.rand(_BATCH, 64, 56, 56).to(device), self._seconds
        )

    def __call__(self, cell: Cell) -> Speed:
        """Return the speed for a cell: of its own networks if their files are here, else of the default chain's."""
        basis = "measured on this machine now"
        if not self._has_networks(cell):
            basis += ", as for the default chain: the files of these networks are not here"
        return Speed(self._timed((cell.encoder, cell.generator)), self._stand_in / PASS, basis)

    def _has_networks(self, cell: Cell) -> bool:
        """Return whether the files of the cell's encoder and generator are on this machine."""
        own = {self._host.weighted(name).name for name in self._config.weights}
        specs = [spec for spec in networks_of(self._host, cell) if spec.name in (cell.encoder, cell.generator)]
        return all(spec.name in own or all(map(self._store.is_here, spec.weights)) for spec in specs)

    def _time(self, pair: tuple[str, str]) -> float:
        cell = self._pairs[pair]
        if not self._has_networks(cell):
            return self._stand_in
        generator = self._loader.generator(cell.generator)
        encoder = FramedEncoder(self._loader.encoder(cell.encoder), generator.framing).to(self._loader.device)
        latents = generator.network.sample(_BATCH, cell.space, torch.Generator().manual_seed(0)).to(self._loader.device)
        gradient = not encoder.spec.black_box
        return _fastest(lambda given: encoder(generator.network(given, cell.space)), latents, self._seconds, gradient)


def _fastest(run: Callable[[Tensor], Tensor], given: Tensor, seconds: float, gradient: bool = True) -> float:
    """Return the least seconds per image and pass of ``run``, called for so many seconds, but at least once.

    Args:
        run: A network.
        given: Its input ``(B, …)``.
        seconds: When to stop.
        gradient: Whether to run backward as well, a second pass.
    """
    given = given.detach().requires_grad_(gradient)
    began, best = time.perf_counter(), float("inf")
    while best == float("inf") or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        with torch.set_grad_enabled(gradient):
            result = run(given)
        if gradient:
            torch.autograd.grad(result.sum(), given)
        # Reading a value back waits for a GPU.
        result.flatten()[0].item()
        best = min(best, time.perf_counter() - start)
    return best / (len(given) * (2 if gradient else 1))


def _stand_in(device: torch.device) -> nn.Module:
    """Return a network with the most expensive layers of the default encoder, without weights of its own to fetch."""
    layers = [nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers).requires_grad_(False).to(device)
