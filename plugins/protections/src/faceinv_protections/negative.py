"""Negative face recognition: a template says what each number is not (Terhörst et al. 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from faceinv.attack import by_descent, from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered
from faceinv_protections.keyed import gaussian, stream
from faceinv_protections.learnt import quantiles
from faceinv_protections.noise import row_seed

#: Steepness of the logistic function at the edges of a level, in units of the spread of a number.
_SHARPNESS = 6.0


class NegativeTemplate(Protection):
    """A descriptor is enlarged by random projections and put on levels; stored is, for each number, another level.

    Which one is drawn from a hash of the descriptor. At a login the true levels are presented; they contradict few
    of the stored ones if the person is the same.

    Args:
        context: Descriptors to take the levels from.
        levels: Levels of each number: with fewer, a template excludes more.
        enlarge: Numbers of a template, as a multiple of ``D``.
    """

    def __init__(self, context: ProtectionContext, *, levels: int = 4, enlarge: int = 8) -> None:
        self._context, self._levels, self._enlarge = context, levels, enlarge

    @cached_property
    def _matrix(self) -> Tensor:
        """The enlargement ``(M, D)``, the same for everybody."""
        return gaussian(self._enlarge * self._context.dim, self._context.dim, self._context.seed)

    @cached_property
    def _edges(self) -> Tensor:
        """Edges between the levels ``(levels − 1, M)``, with equally many examples on each level."""
        numbers = self._context.examples().double() @ self._matrix.T
        shares = torch.arange(1, self._levels, dtype=torch.float64) / self._levels
        return quantiles(numbers, shares)

    def present(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the true levels ``(N, M)``."""
        numbers = descriptors.double() @ self._matrix.T
        return torch.stack([numbers > edge for edge in self._edges]).sum(0).float()

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return for each number a level that it is not on, ``(N, M)``."""
        true = self.present(descriptors, key)
        shifts = [
            torch.randint(1, self._levels, (true.shape[1],), generator=stream(row_seed(row, key)))
            for row in descriptors
        ]  # fmt: skip
        return (true + torch.stack(shifts)) % self._levels

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the share of numbers that do not contradict each other."""
        return torch.cdist(stored, presented, p=0) / stored.shape[1]

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors that are on none of the excluded levels."""
        ends = torch.full_like(self._edges[:1], 1e3)
        edges = torch.cat([-ends, self._edges, ends])

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            numbers = found @ self._matrix.T
            low, high = edges.gather(0, templates.long()), edges.gather(0, templates.long() + 1)
            inside = ((numbers - low) * _SHARPNESS).sigmoid() - ((numbers - high) * _SHARPNESS).sigmoid()
            return -torch.log1p(-inside.clamp(0, 0.999)).sum(1)

        starts = [from_pairs(self._said(self.protect(prior, 0)), prior, self._said(leaks[0].templates)).descriptors]
        return by_descent(misfit, leaks, prior, "the likelihood of the excluded levels", starts=starts)

    def _said(self, templates: Tensor) -> Tensor:
        """Return what templates say of the numbers behind them, on few numbers: the expected descriptor, ``(N, D)``."""
        middle = (self._levels - 1) / 2
        return (middle - templates.double()) @ self._matrix
