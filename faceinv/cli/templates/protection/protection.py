"""The protection, a transform of descriptors before they are stored."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faceinv.attack import from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered, hamming_scores


class MyProtection(Protection):
    """``t = [R x > 0]`` with a Gaussian ``R`` from the key.

    Args:
        context: Length of a descriptor, and examples to learn from; ask for them only when they are needed.
        bits: Bits of a template.
    """

    def __init__(self, context: ProtectionContext, *, bits: int = 64) -> None:
        self._dim, self._bits = context.dim, bits

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the bits ``(N, bits)``."""
        matrix = torch.randn(self._bits, self._dim, generator=torch.Generator().manual_seed(key))
        return (descriptors @ matrix.T > 0).float()

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the share of equal bits ``(N, K)``."""
        return hamming_scores(stored, presented)

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the descriptors behind templates; replace it by the best attack that you know."""
        (leak,) = leaks[:1]
        return from_pairs(self.protect(prior, leak.key), prior, leak.templates)
