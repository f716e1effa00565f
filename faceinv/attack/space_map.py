"""A map from the descriptors of an encoder that cannot be run to those of one that can: a ridge regression on pairs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

#: Penalties that are tried, as shares of the mean variance of an input.
_PENALTIES = tuple(10.0**power for power in range(-4, 3))
#: Share of the pairs that a penalty is chosen on.
_HELD_OUT = 0.2


@dataclass(frozen=True)
class SpaceMap:
    """An affine map.

    Args:
        weights: ``(D, E)``.
        source: Mean of the inputs ``(D,)``.
        target: Mean of the outputs ``(E,)``.
        penalty: The penalty that did best on held-out pairs.
        length: Mean length of the outputs.
    """

    weights: Tensor
    source: Tensor
    target: Tensor
    penalty: float
    length: float

    def __call__(self, descriptors: Tensor) -> Tensor:
        """Return descriptors of the encoder that can be run, ``(N, E)``, at its mean length."""
        directions = nn.functional.normalize(descriptors.double())
        found = nn.functional.normalize((directions - self.source) @ self.weights + self.target) * self.length
        return found.float()


def fitted_map(leaked: Tensor, own: Tensor) -> SpaceMap:
    """Return the map that fits pairs best, its penalty chosen on the last fifth of them.

    Args:
        leaked: ``(N, D)`` of the encoder that cannot be run.
        own: ``(N, E)`` of the other one, of the same photographs.
    """
    x, y = nn.functional.normalize(leaked.double()), nn.functional.normalize(own.double())
    length = float(own.double().norm(dim=1).mean())
    kept = len(x) - max(1, round(_HELD_OUT * len(x)))

    def cosine(penalty: float) -> float:
        found = _solved(x[:kept], y[:kept], penalty, length)
        return float(nn.functional.cosine_similarity(found(x[kept:]).double(), y[kept:]).mean())

    return _solved(x, y, max(_PENALTIES, key=cosine), length)


def _solved(x: Tensor, y: Tensor, penalty: float, length: float) -> SpaceMap:
    source, target = x.mean(0), y.mean(0)
    centred = x - source
    gram = centred.T @ centred
    gram = gram + penalty * gram.diagonal().mean() * torch.eye(len(gram)).to(gram)
    return SpaceMap(torch.linalg.solve(gram, centred.T @ (y - target)), source, target, penalty, length)
