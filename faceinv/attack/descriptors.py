"""What is usual of the descriptors that an encoder gives, measured on the pairs."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from faceinv.probes.reader import Split
from faceinv.probes.whitening import Whitening


@dataclass(frozen=True)
class DescriptorStatistics:
    """How far descriptors are from each other, and how long they are.

    Args:
        variance: Mean squared distance to their mean.
        shortest: Smallest length.
        longest: Largest length.
        inverse_mean: Mean of the inverse lengths.
        inverse_variance: Variance of the inverse lengths.
        whitened: Largest whitened length of a held-out descriptor.
    """

    variance: float
    shortest: float
    longest: float
    inverse_mean: float
    inverse_variance: float
    whitened: float

    @classmethod
    def of(cls, descriptors: Tensor, whitening: Whitening) -> DescriptorStatistics:
        """Return the statistics of descriptors ``(N, D)``; only those of the test part are held out."""
        exact = descriptors.to(whitening.mean)
        lengths = exact.norm(dim=1)
        return cls(
            variance=float(descriptors.var(0, correction=0).sum()),
            shortest=float(lengths.min()),
            longest=float(lengths.max()),
            inverse_mean=float((1 / lengths).mean()),
            inverse_variance=float((1 / lengths).var(correction=0)),
            whitened=float(whitening(exact[Split.of(len(exact)).test]).norm(dim=1).max()),
        )
