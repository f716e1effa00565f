"""PCA whitening of descriptors, so that low-variance directions count as much as high-variance ones."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


class Whitening(nn.Module):
    """Projection of descriptors on their principal axes, each scaled to unit variance.

    Training an encoder shrinks whatever does not tell people apart. The axes that matter least to identity may carry
    pose or a smile at a thousandth of the amplitude, where neither gradient descent nor weight decay finds it.
    Computed in float64, because values are divided by such small amplitudes and must not be rounded before.

    Args:
        mean: ``(dim,)`` float64.
        matrix: ``(dim, dim)`` float64.
    """

    mean: Tensor
    matrix: Tensor

    #: Smallest variance of an axis, as a share of the largest; axes below it hold only rounding and are dropped.
    floor = 1e-11

    def __init__(self, mean: Tensor, matrix: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("matrix", matrix)

    @classmethod
    def fitted(cls, descriptors: Tensor, rows: Tensor) -> Whitening:
        """Return the whitening fitted to these rows of descriptors ``(N, dim)``."""
        dim = descriptors.shape[1]
        mean, square = torch.zeros(dim).double(), torch.zeros(dim, dim).double()
        for part in torch.split(rows, 8192):
            mean += descriptors[part].double().sum(0) / len(rows)
        for part in torch.split(rows, 8192):
            centred = descriptors[part].double() - mean
            square += centred.T @ centred / len(rows)
        variances, axes = torch.linalg.eigh(square)
        # With fewer rows than dimensions some axes never vary. Their scale is unknown, so a new descriptor's
        # component there must not be amplified.
        varies = variances > max(cls.floor * float(variances.max()), 1e-30)
        return cls(mean, axes * torch.where(varies, variances.clamp_min(1e-30).rsqrt(), 0.0))

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return the whitened descriptors ``(B, dim)``, in the dtype of the input."""
        whitened: Tensor = (descriptors.double() - self.mean) @ self.matrix
        return whitened.to(descriptors.dtype)

    def _apply(self, change: Callable[[Tensor], Tensor], recurse: bool = True) -> Whitening:
        """Move to another device, but stay float64 when the surrounding modules are cast."""
        exact = self.mean, self.matrix
        super()._apply(change, recurse)  # type: ignore[no-untyped-call]
        self.mean, self.matrix = (value.to(self.mean.device) for value in exact)
        return self
