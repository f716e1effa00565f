"""INLP: train a linear reader, project on its null space, repeat (Ravfogel et al. 2020, arXiv 2004.07667)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from faceinv.contracts import ProtectionContext
from faceinv_protections.learnt import Erasure, moments, without

#: Penalty of the linear readers, as a share of the mean variance.
_PENALTY = 1e-3


class Inlp(Erasure):
    """Projection on the common null space of linear readers, each trained on what the ones before it left.

    The readers are ridge regressions, which for two classes are linear discriminants.

    Args:
        context: Descriptors and labels to learn from.
        attribute: The attribute to erase.
        rounds: Number of readers.
    """

    def __init__(self, context: ProtectionContext, *, attribute: str = "pose", rounds: int = 8) -> None:
        super().__init__(context, attribute)
        self._rounds = rounds

    @cached_property
    def matrix(self) -> Tensor:
        """The projection ``(D, D)``, symmetric."""
        dim = self.examples.shape[1]
        taken = torch.empty(dim, 0, dtype=torch.float64)
        left = torch.eye(dim, dtype=torch.float64)
        for _ in range(self._rounds):
            mean, covariance = moments(self.examples @ left)
            cross = (self.examples @ left - mean).T @ self.labels / (len(self.examples) - 1)
            penalty = _PENALTY * covariance.diagonal().mean() + 1e-12
            reader = torch.linalg.solve(covariance + penalty * torch.eye(dim, dtype=torch.float64), cross)
            # Readers of several numbers are seldom independent: their strongest directions say all.
            taken = torch.cat([taken, left @ reader], 1)
            left = without(taken)
        return left

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the projections ``(N, D)``."""
        return (descriptors.double() @ self.matrix).float()
