"""IoM hashing by Gaussian random projections (Jin et al. 2018, arXiv 1703.05455)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import by_constraints, by_descent, from_pairs
from faceinv.contracts import Attack, Leak, Protection, ProtectionContext, Recovered, hamming_scores
from faceinv_protections.keyed import gaussian

#: Steepness of the softmax, in units of the usual length of a projection.
_SHARPNESS = 3.0
#: Least difference to the largest projection where maxima are constraints, in the same units.
_MARGIN = 0.3


class IndexOfMax(Protection):
    """For each of ``hashes`` times, the index of the largest of ``projections`` Gaussian projections from the key.

    Args:
        context: Length of a descriptor.
        hashes: Indices of a template.
        projections: Projections that an index chooses from.
    """

    def __init__(self, context: ProtectionContext, *, hashes: int = 128, projections: int = 16) -> None:
        self._dim, self._hashes, self._projections = context.dim, hashes, projections

    def _directions(self, key: int) -> Tensor:
        """Return the directions ``(hashes, projections, D)``."""
        return gaussian(self._hashes * self._projections, self._dim, key).view(self._hashes, self._projections, -1)

    def _projected(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the projections ``(N, hashes, projections)``."""
        matrix = self._directions(key).flatten(0, 1)
        return (descriptors.double() @ matrix.T).view(-1, self._hashes, self._projections)

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the indices ``(N, hashes)``."""
        return self._projected(descriptors, key).argmax(2).float()

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the share of equal indices."""
        return hamming_scores(stored, presented)

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors given the indices, with a softmax in place of each maximum."""

        matrices = {leak.key: self._directions(leak.key).flatten(0, 1) for leak in leaks}

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            scores = (found @ matrices[key].T).view(len(found), self._hashes, -1) * _SHARPNESS
            indices = templates.long().flatten()
            return F.cross_entropy(scores.flatten(0, 1), indices, reduction="none").view(len(found), -1).sum(1)

        def chosen(templates: Tensor, key: int) -> Tensor:
            """Return the sum of the directions that won, ``(N, D)``: few numbers, which say most."""
            directions = self._directions(key)
            return sum((directions[place, row] for place, row in enumerate(templates.long().T)), torch.zeros(1))

        starts = [
            from_pairs(chosen(self.protect(prior, leak.key), leak.key), prior, chosen(leak.templates, leak.key))
            for leak in leaks
        ]
        found = [start.descriptors for start in starts]
        return by_descent(misfit, leaks, prior, "the cross-entropy of the indices", starts=found)

    def attacks(self) -> Sequence[Attack]:
        """Return the descent on the cross-entropy, and the maxima as constraints."""
        return [self.recover, self._with_maxima]

    def _with_maxima(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors whose projections are largest where the template has them."""

        def rows(leak: Leak) -> Tensor:
            directions, indices = self._directions(leak.key), leak.templates.long()
            largest = directions[torch.arange(self._hashes), indices]
            others = torch.ones(len(indices), self._hashes, self._projections, dtype=torch.bool)
            others.scatter_(2, indices[:, :, None], False)
            above = largest[:, :, None] - directions
            return above[others].view(len(indices), -1, self._dim)

        return by_constraints(rows, leaks, prior, _MARGIN, "the maxima", sweeps=10)
