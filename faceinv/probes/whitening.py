"""Descriptors decorrelated: what a face recognition network whispers, brought to the loudness of what it says."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Whitening(nn.Module):
    """Descriptors along their principal axes, each brought to unit variance.

    Training an encoder shrinks what does not tell people apart: the axes that matter least to identity may carry
    pose or a smile with a thousandth of the amplitude, where neither gradient descent nor weight decay finds it.
    Computed in float64: what is divided by such an amplitude must not have been rounded before.

    Args:
        mean: ``(dim,)`` float64.
        matrix: ``(dim, dim)`` float64.
    """

    mean: Tensor
    matrix: Tensor

    #: Least variance of an axis, as a share of the greatest; below it is nothing but rounding, and it is left out.
    floor = 1e-11

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    @classmethod
    def fitted(cls, descriptors: Tensor, rows: Tensor) -> Whitening:
        """Return the whitening of these rows of descriptors ``(N, dim)``."""
        dim = descriptors.shape[1]
        mean, square = torch.zeros(dim).double(), torch.zeros(dim, dim).double()
        for part in torch.split(rows, 8192):
            mean += descriptors[part].double().sum(0) / len(rows)
        for part in torch.split(rows, 8192):
            centred = descriptors[part].double() - mean
            square += centred.T @ centred / len(rows)
        variances, axes = torch.linalg.eigh(square)
        # With fewer rows than dimensions some axes were never seen to vary: what a new descriptor has there is
        # unknown, and must not be blown up.
        varies = variances > max(cls.floor * float(variances.max()), 1e-30)
        return cls(mean, axes * torch.where(varies, variances.clamp_min(1e-30).rsqrt(), 0.0))

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return whitened descriptors ``(B, dim)`` of the same type."""
        whitened: Tensor = (descriptors.double() - self.mean) @ self.matrix
        return whitened.to(descriptors.dtype)

    def _apply(self, change: Callable[[Tensor], Tensor], recurse: bool = True) -> Whitening:
        """Move to another device, and stay float64 where the modules around are cast."""
        exact = self.mean, self.matrix
        super()._apply(change, recurse)  # type: ignore[no-untyped-call]
        self.mean, self.matrix = (value.to(self.mean.device) for value in exact)
        return self
