"""Multi-IVE: drop the axes that trees find most important for an attribute (Terhörst 2019, Melzi et al. 2023)."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from faceinv.contracts import ProtectionContext
from faceinv.errors import UsageError
from faceinv_protections.learnt import Erasure, moments

#: Trees of each ensemble, and rounds in which axes are dropped.
_TREES, _ROUNDS = 30, 4
#: Examples that trees are grown on at most.
_EXAMPLES = 2000


class MultiIve(Erasure):
    """Principal axes are dropped in rounds, those first that an ensemble of trees uses most to read the attribute.

    Args:
        context: Descriptors and labels to learn from.
        attribute: The attribute to erase.
        drop: Number of axes to drop, below ``D``.
    """

    def __init__(self, context: ProtectionContext, *, attribute: str = "pose", drop: int = 32) -> None:
        super().__init__(context, attribute)
        if drop >= context.dim:
            raise ValueError(f"drop must be below the length of a descriptor, {context.dim}, got {drop}")
        self._drop = drop

    @cached_property
    def kept(self) -> Tensor:
        """The axes that are kept, ``(D, D − drop)``."""
        try:
            from sklearn.ensemble import ExtraTreesRegressor
        except ImportError:
            raise UsageError(
                "The protection 'multi-ive' needs scikit-learn: pip install 'faceinv-plugins[ive]'."
            ) from None
        _, axes = torch.linalg.eigh(moments(self.examples)[1])
        chosen = slice(None, _EXAMPLES)
        inputs, labels = (self.examples @ axes)[chosen].numpy(), self.labels[chosen].squeeze(1).numpy()
        left = list(range(inputs.shape[1]))
        for number in range(_ROUNDS):
            trees = ExtraTreesRegressor(_TREES, max_depth=8, max_features=0.3, random_state=self._context.seed % 2**32)
            importance = trees.fit(inputs[:, left], labels).feature_importances_
            size = self._drop * (number + 1) // _ROUNDS - self._drop * number // _ROUNDS
            worst = set(importance.argsort()[::-1][:size].tolist())
            left = [axis for place, axis in enumerate(left) if place not in worst]
        kept: Tensor = axes[:, left]
        return kept

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the coordinates on the axes that are kept, ``(N, D − drop)``."""
        return (descriptors.double() @ self.kept).float()
