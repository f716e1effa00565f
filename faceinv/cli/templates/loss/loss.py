"""The loss, a term of the objective."""

from __future__ import annotations

from torch import Tensor, nn

from faceinv.contracts import Candidate, Loss, LossContext


class MyLoss(Loss):
    """``1 − cos(E(g(z)), d)``: 0 at the target, 2 at its opposite.

    Args:
        context: Scale of the descriptors; for an attribute loss, the probe and its trained reader.
    """

    def __init__(self, context: LossContext) -> None:
        pass

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the directions of the target descriptors ``(B, D)``; called once per batch."""
        return nn.functional.normalize(descriptors)

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        return 1 - (nn.functional.normalize(candidate.descriptors) * prepared).sum(1)
