"""A map from the descriptors of an encoder that cannot be run to those of one that can, learnt from pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from faceinv.probes.reader import TunedHead
from faceinv.probes.recipe import TUNED
from faceinv.probes.training import Parts, Task, train_heads

#: Penalties that are tried, as shares of the mean variance of an input.
_PENALTIES = tuple(10.0**power for power in range(-4, 3))
#: Share of the pairs that maps are chosen on.
_HELD_OUT = 0.2
#: Fewest pairs that a network is tried on: from fewer it learns nothing that the ridge regression does not.
_FEWEST_FOR_NETWORK = 1000
_RECIPE = replace(TUNED, learning_rate=2e-3)
_WIDTH = 512


@dataclass(frozen=True)
class SpaceMap:
    """A map to descriptors of the encoder that can be run.

    Args:
        kind: ``"ridge"`` or ``"network"``.
        function: Maps inputs ``(N, D)`` to directions ``(N, E)``.
        held_out: Cosine of mapped to true descriptors: mean over the pairs that the map was chosen on.
    """

    kind: str
    function: Callable[[Tensor], Tensor]
    held_out: float

    def __call__(self, leaked: Tensor) -> Tensor:
        """Return directions of the encoder that can be run, ``(N, E)``, of length 1."""
        return nn.functional.normalize(self.function(leaked)).float()


def fitted_map(leaked: Tensor, own: Tensor) -> SpaceMap:
    """Return the map that fits the last fifth of the pairs best: a ridge regression or, of many pairs, a small network.

    Args:
        leaked: ``(N, D)``: directions of the encoder that cannot be run, or the part of them that leaks.
        own: ``(N, E)``: descriptors of the same photographs by the other one.
    """
    y = nn.functional.normalize(own)
    kept = len(leaked) - max(1, round(_HELD_OUT * len(leaked)))

    def cosine(function: Callable[[Tensor], Tensor]) -> float:
        return float(nn.functional.cosine_similarity(function(leaked[kept:]).to(y), y[kept:]).mean())

    scores = {penalty: cosine(_ridge(leaked[:kept], y[:kept], penalty)) for penalty in _PENALTIES}
    best = max(scores, key=lambda penalty: scores[penalty])
    if len(leaked) >= _FEWEST_FOR_NETWORK:
        network = _network(leaked, y, kept)
        reached = cosine(network)
        if reached > scores[best]:
            return SpaceMap("network", network, reached)
    return SpaceMap("ridge", _ridge(leaked, y, best), scores[best])


def _ridge(leaked: Tensor, own: Tensor, penalty: float) -> Callable[[Tensor], Tensor]:
    """Return the affine map with the least squared error plus the penalty on its weights."""
    x, y = leaked.double(), own.double()
    source, target = x.mean(0), y.mean(0)
    centred = x - source
    gram = centred.T @ centred
    gram = gram + penalty * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    weights = torch.linalg.solve(gram, centred.T @ (y - target))
    return lambda given: (given.double() - source) @ weights + target


def _network(leaked: Tensor, own: Tensor, kept: int) -> Callable[[Tensor], Tensor]:
    """Return an affine map plus one hidden layer, trained on the first pairs and stopped early by the others."""
    what, rows = "map to the surrogate", torch.arange(len(leaked))

    def head() -> nn.Module:
        return TunedHead(leaked.shape[1], own.shape[1], width=_WIDTH, hidden=1)

    def angle(found: Tensor, truth: Tensor) -> Tensor:
        return 1 - nn.functional.cosine_similarity(found, truth)

    task = Task(what, own.float(), head, _RECIPE, loss=angle)
    parts = Parts(rows[:kept], rows[kept:])
    trained = train_heads(leaked.float(), [task], parts, seed=0, ahead=True, what=what)[what]
    reader = trained.eval().requires_grad_(False)
    return lambda given: reader(given.float())
