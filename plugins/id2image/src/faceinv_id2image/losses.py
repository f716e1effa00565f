"""The identity loss, equation (1), and the angle between descriptors after whitening."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity

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
    """``1 − cos(W E(g(z)), W d)``, W whitening the descriptors of samples.

    Not the paper's. Training an encoder makes faint what does not tell people apart, such as pose and light, and
    equation (1) hardly sees it: here every principal axis of the descriptors counts the same. It is an angle
    because, whitened, a photograph's descriptor is longer than those of samples, which no image can make good. It is
    1 for a candidate that has nothing to do with the target, whatever the encoder.
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
        return 1 - cosine_similarity(self._whiten(candidate.descriptors), prepared)
