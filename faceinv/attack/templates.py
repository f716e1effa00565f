"""Several leaked descriptors of one person made into one."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_STEPS = 50


def mean_direction(templates: Tensor) -> Tensor:
    """Return the mean of directions ``(N, K, D)``, ``(N, D)``."""
    return templates.mean(1)


def robust_mean(templates: Tensor) -> Tensor:
    """Return the geometric median of directions ``(N, K, D)``, which one odd template moves little (Weiszfeld 1937)."""
    found = templates.mean(1)
    for _ in range(_STEPS):
        weights = 1 / (templates - found[:, None]).norm(dim=2).clamp_min(1e-6)
        found = (weights[:, :, None] * templates).sum(1) / weights.sum(1, keepdim=True)
    return found


def without_odd_one(templates: Tensor) -> Tensor:
    """Return the mean of directions ``(N, K, D)`` without the one least like the others; of two, the mean of both."""
    k = templates.shape[1]
    if k < 3:
        return templates.mean(1)
    alike = (templates @ templates.transpose(1, 2)).sum(2)
    kept = torch.ones_like(alike).scatter(1, alike.argmin(1, keepdim=True), 0.0)
    return (kept[:, :, None] * templates).sum(1) / (k - 1)


_FUSED: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": mean_direction,
    "robust": robust_mean,
    "drop": without_odd_one,
}


def fused(templates: Tensor, how: str) -> Tensor:
    """Return one descriptor ``(N, D)`` of each person's ``(N, K, D)``, as long as theirs are on average.

    Args:
        templates: The leaked descriptors.
        how: One of :data:`faceinv.contracts.leaks.FUSIONS`.
    """
    if templates.shape[1] == 1:
        return templates[:, 0]
    directions = nn.functional.normalize(_FUSED[how](nn.functional.normalize(templates, dim=2)))
    found: Tensor = directions * templates.norm(dim=2).mean(1, keepdim=True)
    return found
