"""Noise: normal numbers added to a descriptor, drawn anew for every template."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from faceinv.attack import from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered
from faceinv_protections.keyed import stream


class Noise(Protection):
    """``x + σ n / √D``, so that the noise is about ``sigma`` long, where a descriptor has length 1.

    The noise of a template is drawn from a hash of the descriptor: it is the same in every run, another for every
    photograph, and unknown to anyone who has only the template. It is not calibrated to a sensitivity: no differential
    privacy follows.

    Args:
        context: Length of a descriptor.
        sigma: Length of the noise.
    """

    def __init__(self, context: ProtectionContext, *, sigma: float = 1.0) -> None:
        self._sigma = sigma

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the noisy descriptors ``(N, D)``; another key draws other noise."""
        noise = [torch.randn(descriptors.shape[1], generator=stream(row_seed(row, key))) for row in descriptors]
        noisy: Tensor = descriptors + self._sigma / descriptors.shape[1] ** 0.5 * torch.stack(noise)
        return noisy

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the expected descriptors given the mean of the templates."""
        noisy = torch.stack([self.protect(prior, leak.key) for leak in leaks]).mean(0)
        found = from_pairs(noisy, prior, torch.stack([leak.templates for leak in leaks]).mean(0))
        return Recovered(found.descriptors, "averaging, and a linear map learnt from pairs", found.budget)


def row_seed(row: Tensor, key: int) -> int:
    """Return the seed of what is drawn for a descriptor ``(D,)``."""
    content = row.detach().float().numpy().tobytes() + str(key).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "little")
