"""Linear maps: a random projection drawn from the key, and the first principal axes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from faceinv.attack import least_squares
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered
from faceinv_protections.keyed import gaussian, orthonormal


class RandomProjection(Protection):
    """``t = R x`` with ``R`` ``(dims, D)`` from the key; compared by cosine (Teoh et al. 2006 and before).

    Args:
        context: Length of a descriptor.
        dims: Numbers of a template, at most ``D``.
        orthonormal: Whether the rows of ``R`` are orthonormal; otherwise its numbers are normal, of variance 1 / dims.
    """

    def __init__(self, context: ProtectionContext, *, dims: int = 96, orthonormal: bool = True) -> None:
        self._dim, self._dims, self._orthonormal = context.dim, dims, orthonormal

    def matrix(self, key: int) -> Tensor:
        """Return ``R`` ``(dims, D)``."""
        if self._orthonormal:
            return orthonormal(self._dims, self._dim, key)
        matrix: Tensor = gaussian(self._dims, self._dim, key) / self._dims**0.5
        return matrix

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the projections ``(N, dims)``."""
        return (descriptors.double() @ self.matrix(key).T).float()

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors with these projections."""
        return least_squares([self.matrix(leak.key) for leak in leaks], [leak.templates for leak in leaks], prior)


class Truncate(Protection):
    """The first principal axes of descriptors, or their first numbers.

    Args:
        context: Descriptors to find the axes of.
        dims: Numbers of a template, at most ``D``.
        principal: Whether the axes are the principal ones; otherwise the numbers are taken as they come.
    """

    def __init__(self, context: ProtectionContext, *, dims: int = 64, principal: bool = True) -> None:
        self._context, self._dims, self._principal = context, dims, principal

    @cached_property
    def matrix(self) -> Tensor:
        """The axes ``(dims, D)``, that of the largest variance first."""
        dim = self._context.dim
        if not self._principal:
            return torch.eye(dim, dtype=torch.float64)[: self._dims]
        examples = self._context.examples().double()
        # Around zero, not the mean: templates are compared by the angle at zero.
        _, axes = torch.linalg.eigh(examples.T @ examples)
        first: Tensor = axes.flip(1).T[: self._dims]
        return first

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the coordinates ``(N, dims)``."""
        return (descriptors.double() @ self.matrix.T).float()

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors with these coordinates."""
        return least_squares([self.matrix], [leaks[0].templates], prior)
