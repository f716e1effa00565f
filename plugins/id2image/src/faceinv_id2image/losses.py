"""The identity loss, equation (1)."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Candidate, Loss, LossContext


class IdLoss(Loss):
    """``‖E(g(z)) − d‖²`` on descriptors as the attacked system stores them.

    Under the preset ``"paper"`` as it stands; otherwise divided by what the mean descriptor would
    cost, so that it is 1 for an ignorant guess whatever the descriptors' scale.
    """

    def __init__(self, context: LossContext) -> None:
        self._scale = 1.0 if context.preset == "paper" else 1.0 / context.descriptor_variance

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the target descriptors ``(B, D)``."""
        return descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        return (candidate.descriptors - prepared).square().sum(1) * self._scale
