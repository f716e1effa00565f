"""The identity loss, equation (1), and the same distance after whitening."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts import Candidate, Loss, LossContext
from faceinv.errors import PluginError


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


class WhitenedIdLoss(Loss):
    """``‖W E(g(z)) − W d‖² / 2D``, W whitening the descriptors of samples: Mahalanobis's distance.

    Not the paper's. Training an encoder makes faint what does not tell people apart, such as pose and light, and
    equation (1) hardly sees it: here every principal axis of the descriptors counts the same. It is 1 for a
    candidate that has nothing to do with the target, whatever the encoder.
    """

    def __init__(self, context: LossContext) -> None:
        if context.whitening is None:
            raise PluginError("The whitened identity loss needs a whitening in its LossContext.")
        self._whiten = context.whitening

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the whitened target descriptors ``(B, D)``."""
        return self._whiten(descriptors)

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        return (self._whiten(candidate.descriptors) - prepared).square().mean(1) / 2
