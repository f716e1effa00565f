"""Quantisation: every number of a descriptor on a few levels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import by_descent, from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered, cosine_scores
from faceinv_protections.learnt import quantiles

#: Percentiles of each number between which the levels lie.
_ENDS = (0.005, 0.995)


class Quantise(Protection):
    """``2^bits`` equal steps between two percentiles of each number; with one bit, above or below its median.

    Args:
        context: Descriptors to take the percentiles of.
        bits: Bits of each number.
    """

    def __init__(self, context: ProtectionContext, *, bits: int = 1) -> None:
        self._context, self._bits = context, bits

    @cached_property
    def _edges(self) -> Tensor:
        """Edges between the levels, ``(2^bits − 1, D)``."""
        examples = self._context.examples().double()
        if self._bits == 1:
            middle: Tensor = examples.median(0).values[None]
            return middle
        low, high = quantiles(examples, torch.tensor(_ENDS, dtype=torch.float64))
        steps = torch.arange(1, 2**self._bits, dtype=torch.float64)[:, None] / 2**self._bits
        edges: Tensor = low + steps * (high - low)
        return edges

    @cached_property
    def _values(self) -> Tensor:
        """What each level stands for, ``(2^bits, D)``: the mean of the examples on it."""
        examples = self._context.examples().double()
        levels = self.protect(examples, 0).long()
        sums = torch.zeros(2**self._bits, examples.shape[1], dtype=torch.float64).scatter_add(0, levels, examples)
        counts = torch.zeros_like(sums).scatter_add(0, levels, torch.ones_like(examples))
        middle = torch.cat([self._edges[:1], self._edges])
        return torch.where(counts > 0, sums / counts.clamp_min(1), middle)

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the level of each number, ``(N, D)``."""
        given = descriptors.double()
        # Edge by edge: there are few, and a comparison with all at once would take D times the memory.
        return sum((given > edge for edge in self._edges), torch.zeros_like(given)).float()

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the cosines of what the levels stand for."""
        return cosine_scores(self._decoded(stored), self._decoded(presented))

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors whose numbers lie on the leaked levels."""
        ends = torch.full_like(self._edges[:1], torch.inf)
        edges = torch.cat([-ends, self._edges, ends])
        sharp = 20 * edges.shape[1] ** 0.5

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            low, high = edges.gather(0, templates.long()), edges.gather(0, templates.long() + 1)
            return (F.softplus(sharp * (low - found)) + F.softplus(sharp * (found - high))).sum(1)

        (leak,) = leaks[:1]
        start = from_pairs(self._decoded(self.protect(prior, 0)), prior, self._decoded(leak.templates)).descriptors
        return by_descent(misfit, leaks, prior, "the logistic distance to the levels", starts=[start])

    def _decoded(self, templates: Tensor) -> Tensor:
        return self._values.gather(0, templates.long())
