"""LEACE: the smallest affine change after which no linear reader does better than the mean (arXiv 2306.03819)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from faceinv.contracts import ProtectionContext
from faceinv_protections.learnt import Erasure, moments, without


class Leace(Erasure):
    """``x ↦ x − W⁺ P W (x − E x)``: ``W`` whitens, and ``P`` projects on the columns of ``W Σ_xz``.

    Theorem 4.3 of Belrose et al. 2023, in closed form.

    Args:
        context: Descriptors and labels to learn from.
        attribute: The attribute to erase.
    """

    def __init__(self, context: ProtectionContext, *, attribute: str = "pose") -> None:
        super().__init__(context, attribute)

    @cached_property
    def _map(self) -> tuple[Tensor, Tensor]:
        """The mean ``(D,)``, and the matrix ``W⁺ P W`` ``(D, D)`` of what is taken away."""
        mean, covariance = moments(self.examples)
        cross = (self.examples - mean).T @ self.labels / (len(self.examples) - 1)
        variances, axes = torch.linalg.eigh(covariance)
        # Axes without variance cannot be whitened, and nothing can be read from them.
        varied = variances > 1e-12 * variances.max()
        scales, axes = variances[varied].sqrt(), axes[:, varied]
        whiten, restore = (axes / scales) @ axes.T, (axes * scales) @ axes.T
        identity = torch.eye(len(mean), dtype=mean.dtype)
        return mean, restore @ (identity - without(whiten @ cross)) @ whiten

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the descriptors without what a linear reader can read, ``(N, D)``."""
        mean, taken = self._map
        given = descriptors.double()
        return (given - (given - mean) @ taken.T).float()
