"""Several leaked descriptors of one person: made into one, or each in an objective of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.contracts.methods import Candidate, Objective
from faceinv.errors import PluginError

_STEPS = 50


def equal_weights(directions: Tensor) -> Tensor:
    """Return the weights ``(N, K)`` of a mean."""
    return torch.full(directions.shape[:2], 1 / directions.shape[1]).to(directions)


def robust_weights(directions: Tensor) -> Tensor:
    """Return the weights ``(N, K)`` of the geometric median, which one odd template moves little (Weiszfeld 1937)."""
    weights = equal_weights(directions)
    for _ in range(_STEPS):
        median = (weights[:, :, None] * directions).sum(1, keepdim=True)
        nearness = 1 / (directions - median).norm(dim=2).clamp_min(1e-6)
        weights = nearness / nearness.sum(1, keepdim=True)
    return weights


def weights_without_odd_one(directions: Tensor) -> Tensor:
    """Return the weights ``(N, K)`` of a mean without the one least like the others; of two, the mean of both."""
    k = directions.shape[1]
    if k < 3:
        return equal_weights(directions)
    alike = (directions @ directions.transpose(1, 2)).sum(2)
    return torch.full_like(alike, 1 / (k - 1)).scatter(1, alike.argmin(1, keepdim=True), 0.0)


_WEIGHTS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": equal_weights,
    "robust": robust_weights,
    "drop": weights_without_odd_one,
    # Where the search starts; the objective is that of all templates.
    "sum": equal_weights,
}


def fused(templates: Tensor, how: str) -> Tensor:
    """Return one descriptor ``(N, D)`` of each person's ``(N, K, D)``: a weighted mean.

    It is shorter than the templates. Stretched to their length, it would lie far outside of where descriptors are:
    along most axes they hardly differ, and stretching moves it along these too.

    Args:
        templates: The leaked descriptors.
        how: One of :data:`faceinv.contracts.leaks.FUSIONS`.
    """
    if templates.shape[1] == 1:
        return templates[:, 0]
    weights = _WEIGHTS[how](nn.functional.normalize(templates, dim=2))
    return (weights[:, :, None] * templates).sum(1)


class ObjectiveOfAll:
    """The mean of an objective over all templates of each person.

    A method knows one descriptor of each person, and its templates are found by that.

    Args:
        objective: The objective for one template.
        descriptors: The descriptors ``(N, D)`` that methods are given.
        templates: ``(N, K, D)``.
    """

    def __init__(self, objective: Objective, descriptors: Tensor, templates: Tensor) -> None:
        self._objective, self._descriptors, self._templates = objective, descriptors, templates

    def prepare(self, descriptors: Tensor) -> list[Any]:
        """Return what the objective computes once, for each of the templates behind descriptors ``(B, D)``.

        Raises:
            PluginError: if a method prepares a descriptor that it was not given.
        """
        same = (descriptors[:, None] == self._descriptors).all(2)
        if not same.any(1).all():
            raise PluginError("--fusion sum: the method prepares the objective for other descriptors than the task's.")
        rows = same.int().argmax(1)
        return [self._objective.prepare(own) for own in self._templates[rows].unbind(1)]

    def __call__(self, candidate: Candidate, prepared: list[Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the mean of the weighted sums ``(B,)``, and of the unweighted terms by name."""
        each = [self._objective(candidate, own) for own in prepared]
        names = each[0][1]
        terms = {name: torch.stack([values[name] for _, values in each]).mean(0) for name in names}
        return torch.stack([total for total, _ in each]).mean(0), terms
