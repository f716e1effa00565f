"""The loss interface."""

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
        """Return everything that depends only on the target descriptors ``(B, D)``; called once per batch."""

    @abstractmethod
    def __call__(self, candidate: Candidate, prepared: Any) -> Tensor:
        """Return the unreduced, unweighted loss of each candidate, ``(B,)``."""


@dataclass(frozen=True)
class LossContext:
    """Arguments for building a loss.

    Args:
        preset: Name of the objective preset. ``"paper"`` and ``"paper-literal"`` expect squared distances in a unit
            of the paper. Every other preset expects a scale on which 1 is the loss of an uninformed guess (``id``)
            or the probe's own error (attributes).
        descriptor_variance: Mean squared distance of a descriptor to the mean descriptor, over samples of
            the generator.
        probe: The probe of an attribute loss.
        reader: The probe's trained head: descriptors ``(B, D)`` to attributes ``(B, *shape)``.
        error_covariance: Second moments ``(k, k)`` of the reader's errors on held-out samples, in the probe's
            own coordinates ``(k,)``; ``None`` if unknown, in which case errors are not rescaled.
        whitening: Scales descriptors ``(B, D)`` of the generator's samples to unit variance along each of their
            principal axes.
    """

    preset: str
    descriptor_variance: float
    probe: Probe | None = None
    reader: Callable[[Tensor], Tensor] | None = None
    error_covariance: Tensor | None = None
    whitening: Callable[[Tensor], Tensor] | None = None

    @property
    def of_the_paper(self) -> bool:
        """Whether the preset expects squared distances in a unit of the paper."""
        return self.preset in ("paper", "paper-literal")
