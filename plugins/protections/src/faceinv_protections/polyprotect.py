"""PolyProtect: each window of a descriptor becomes the value of a secret polynomial (Krivokuća Hahn, Marcel 2022)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.attack import by_descent, by_least_squares, from_pairs
from faceinv.contracts import Attack, Leak, Protection, ProtectionContext, Recovered
from faceinv_protections.keyed import stream

#: Weight of 1 − cosine in units of a log-likelihood: templates are exact, so that almost only they count.
_WEIGHT = 1e5


class PolyProtect(Protection):
    """``Σᵢ cᵢ xᵢ^{eᵢ}`` over windows of ``window`` consecutive numbers, of which neighbours share ``overlap``.

    The coefficients are distinct non-zero whole numbers up to ``largest``, the exponents a permutation of 1 to
    ``window``; both come from the key. Zeros fill the last window.

    Args:
        context: Length of a descriptor.
        overlap: Numbers that neighbouring windows share.
        window: Numbers of a window.
        largest: Largest coefficient, without its sign.
    """

    def __init__(self, context: ProtectionContext, *, overlap: int = 3, window: int = 5, largest: int = 50) -> None:
        if overlap >= window:
            raise ValueError(f"overlap must be below window, got {overlap} and {window}")
        if 2 * largest < window:
            raise ValueError(f"largest {largest} leaves fewer than {window} coefficients")
        self._overlap, self._window, self._largest = overlap, window, largest

    def polynomial(self, key: int) -> tuple[Tensor, Tensor]:
        """Return the coefficients and the exponents, ``(window,)`` each."""
        rng = stream(key)
        allowed = torch.tensor([value for value in range(-self._largest, self._largest + 1) if value])
        coefficients = allowed[torch.randperm(len(allowed), generator=rng)[: self._window]]
        return coefficients.double(), torch.randperm(self._window, generator=rng) + 1

    def _values(self, descriptors: Tensor, key: int) -> Tensor:
        coefficients, exponents = self.polynomial(key)
        step, given = self._window - self._overlap, descriptors.double()
        lacking = -(given.shape[1] - self._window) % step
        padded = F.pad(given, (0, lacking))
        first = torch.arange(0, padded.shape[1] - self._window + 1, step)
        windows = padded[:, first[:, None] + torch.arange(self._window)]
        return (windows**exponents * coefficients).sum(2)

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the values of the polynomials ``(N, M)``."""
        return self._values(descriptors, key).float()

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the descriptors that minimise ``1 − cos`` of the templates."""

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            return _WEIGHT * (1 - F.cosine_similarity(self._values(found, key), templates))

        starts = self._starts(leaks, prior)
        return by_descent(misfit, leaks, prior, "1 − cos of the templates", starts=starts)

    def attacks(self) -> Sequence[Attack]:
        """Return the descent on ``1 − cos``, and least squares on the values."""
        return [self.recover, self._with_values]

    def _with_values(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the descriptors whose polynomials have the values of the template."""
        starts = self._starts(leaks, prior)
        return by_least_squares(self._values, leaks, prior, "the values of the polynomials", starts=starts, guesses=1)

    def _starts(self, leaks: Sequence[Leak], prior: Tensor) -> list[Tensor]:
        return [from_pairs(self.protect(prior, leak.key), prior, leak.templates).descriptors for leak in leaks]
