"""The interface of a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from faceinv.contracts.methods import Candidate
from faceinv.contracts.probes import Probe


class Loss(ABC):
    """A term of the objective, for a fixed batch of target descriptors."""

    @abstractmethod
    def prepare(self, descriptors: Tensor) -> Any:
        """Return whatever the targets ``(B, D)`` determine, computed once per batch and not per step."""

    @abstractmethod
    def __call__(self, candidate: Candidate, prepared: Any) -> Tensor:
        """Return the loss of each candidate, ``(B,)``, unreduced and unweighted."""


@dataclass(frozen=True)
class LossContext:
    """What a loss is built with.

    Args:
        preset: Name of the objective preset: ``"paper"`` takes losses in the paper's own units,
            every other preset in units in which a value near 1 is what an ignorant guess costs
            (``id``) or what the probe's own error amounts to (attributes).
        descriptor_variance: Mean squared distance of a descriptor to the mean descriptor, over
            samples of the generator.
        probe: The probe of an attribute loss.
        reader: Its trained head: descriptors ``(B, D)`` to attributes ``(B, *shape)``.
        error_covariance: Second moments ``(k, k)`` of the reader's errors on held-out samples, in the probe's
            own coordinates ``(k,)``; ``None`` where they are not known, and every error then counts as it is.
        whitening: Brings descriptors ``(B, D)`` of the generator's samples to unit variance along each of their
            principal axes.
    """

    preset: str
    descriptor_variance: float
    probe: Probe | None = None
    reader: Callable[[Tensor], Tensor] | None = None
    error_covariance: Tensor | None = None
    whitening: Callable[[Tensor], Tensor] | None = None
