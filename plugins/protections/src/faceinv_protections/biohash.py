"""BioHash: signs of projections on orthonormal directions that the key draws (Teoh, Goh, Ngo 2006)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import by_constraints, by_descent, from_pairs
from faceinv.contracts import Attack, Leak, Protection, ProtectionContext, Recovered, hamming_scores
from faceinv_protections.keyed import orthonormal

#: Steepness of the logistic function, in units of the usual length of a projection. The best of 1, 2, 3 and 10.
_SHARPNESS = 3.0
#: Least projection where signs are constraints, in the same units.
_MARGIN = 0.3


class BioHash(Protection):
    """``t = [R x > 0]`` with ``R`` ``(bits, D)`` of orthonormal rows from the key; compared by Hamming distance.

    Args:
        context: Length of a descriptor.
        bits: Bits of a template, at most ``D``.
    """

    def __init__(self, context: ProtectionContext, *, bits: int = 128) -> None:
        self._dim, self._bits = context.dim, bits

    def matrix(self, key: int) -> Tensor:
        """Return the projection ``(bits, D)``."""
        return orthonormal(self._bits, self._dim, key)

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the bits ``(N, bits)``."""
        return (descriptors.double() @ self.matrix(key).T > 0).float()

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the share of equal bits."""
        return hamming_scores(stored, presented)

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors given the signs, with a logistic function in place of each step."""
        matrices = {leak.key: self.matrix(leak.key) for leak in leaks}

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            margins = (2 * templates - 1) * (found @ matrices[key].T) * _SHARPNESS * self._dim**0.5
            return F.softplus(-margins).sum(1)

        starts = [from_pairs(self.protect(prior, leak.key), prior, leak.templates).descriptors for leak in leaks]
        return by_descent(misfit, leaks, prior, "the logistic loss of the bits", starts=starts)

    def attacks(self) -> Sequence[Attack]:
        """Return the descent on the logistic loss, and the signs as constraints."""
        return [self.recover, self._with_signs]

    def _with_signs(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the most likely descriptors with these signs."""

        def rows(leak: Leak) -> Tensor:
            return (2 * leak.templates.double() - 1)[:, :, None] * self.matrix(leak.key)

        return by_constraints(rows, leaks, prior, _MARGIN / self._dim**0.5, "the signs")
