"""How a recipe is followed: optimizer, learning rate and early stopping, for every trainer of heads."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from faceinv.contracts.probes import Recipe

#: One recipe for every attribute of photographs: whitened, regularised, early-stopped.
TUNED = Recipe(
    optimizer="adamw",
    learning_rate=1e-3,
    batch_size=256,
    epochs=40,
    weight_decay=0.05,
    schedule="cosine",
    whiten=True,
    patience=6,
)

#: The same for an attack's photographs: fewer epochs of more steps.
ON_PHOTOGRAPHS = replace(TUNED, learning_rate=2e-3, batch_size=128, epochs=12, patience=4)

#: The same for pairs, whose labels are exact: no early stopping, so that nothing has to be held out for it.
ON_PAIRS = replace(ON_PHOTOGRAPHS, patience=0, learning_rate=2.8e-3, batch_size=256, epochs=16, noise=0.3)

#: Heads that are trained on pairs and averaged: three narrow ones read better than a wide one.
MEMBERS = 3

#: A ridge regression. Whitened descriptors are uncorrelated, so the penalty divides everything that is read by 1.2.
LINEAR = Recipe(optimizer="ridge", weight_decay=0.2, whiten=True)

#: Latents from descriptors. What a network reads beyond the linear part is less than it gets wrong from a few thousand
#: pairs: a descriptor determines a tenth of a latent's variance. The penalty only makes the solution unique: with that
#: of ``LINEAR`` a search starts too near the mean latent, and ends farther from the target.
LATENTS = replace(LINEAR, weight_decay=1e-3)

#: The paper gives the latent regressor's layers but not its training (section 4.1). Three epochs: from the fourth
#: on it only memorises its pairs (a descriptor determines a tenth of a latent's variance).
LATENT_RECIPE = Recipe(
    optimizer="adamw",
    learning_rate=5e-4,
    batch_size=256,
    epochs=3,
    weight_decay=0.01,
    schedule="cosine",
    whiten=True,
    patience=2,
)


def make_optimizer(parameters: Iterable[Tensor], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimizer of these parameters."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, weight_decay=decay)
    kind = torch.optim.Adam if recipe.optimizer == "adam" else torch.optim.AdamW
    return kind(parameters, rate, weight_decay=decay, fused=True)


def set_learning_rate(optimizer: torch.optim.Optimizer, recipe: Recipe, step: int, total: int) -> None:
    """Set the learning rate of step ``step`` of ``total``: constant, or a short warm-up followed by half a cosine."""
    share = 1.0
    if recipe.schedule != "constant":
        warm = max(1, total // 20)
        share = min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))
    for group in optimizer.param_groups:
        group["lr"] = recipe.learning_rate * share


class EarlyStopping:
    """Best validation score of each of ``heads`` heads, and how many validations ago it was reached.

    Args:
        patience: Validations without progress after which a head is finished; 0 never finishes one.
        heads: Number of heads that are validated together.
    """

    def __init__(self, patience: int, heads: int = 1) -> None:
        self._patience = patience
        self._best = torch.full((heads,), math.inf)
        self._waited = torch.zeros(heads, dtype=torch.long)

    @property
    def finished(self) -> Tensor:
        """Heads that are out of patience, ``(K,)``."""
        return (self._waited >= self._patience) & (self._patience > 0)

    def improved(self, scores: Tensor) -> Tensor:
        """Take the validation scores ``(K,)`` of an epoch; return which heads ``(K,)`` reached their best so far."""
        better = scores < self._best
        self._best = torch.where(better, scores, self._best)
        self._waited = torch.where(better, 0, self._waited + 1)
        return better
