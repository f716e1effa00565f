"""The identity loss of ID2image, equation (1), and the cosine distance of whitened descriptors."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from faceinv.contracts import Candidate, Loss, LossContext
from faceinv.errors import PluginError


class IdLoss(Loss):
    """``‖E(g(z)) − d‖²``.

    Under ``"paper"`` both descriptors have length 1; under ``"paper-literal"`` they are as the attacked system stores
    them. Otherwise they are too, and the loss is divided by that of guessing the mean descriptor, so that an uninformed
    guess scores 1 whatever the scale of the descriptors.
    """

    def __init__(self, context: LossContext) -> None:
        self._unit = context.preset == "paper"
        self._scale = 1.0 if context.of_the_paper else 1.0 / context.descriptor_variance

    def prepare(self, descriptors: Tensor) -> Tensor:
        """Return the target descriptors ``(B, D)``."""
        return normalize(descriptors) if self._unit else descriptors

    def __call__(self, candidate: Candidate, prepared: Tensor) -> Tensor:
        """Return the loss of each candidate, ``(B,)``."""
        own = normalize(candidate.descriptors) if self._unit else candidate.descriptors
        return (own - prepared).square().sum(1) * self._scale


class WhitenedIdLoss(Loss):
    """``1 − cos(W E(g(z)), W d)``, where W whitens the descriptors of samples.

    Not from the paper. Training an encoder attenuates whatever does not distinguish people, such as pose and light, so
    equation (1) hardly sees it; here all principal axes of the descriptors weigh the same. The loss is an angle because
    the whitened descriptor of a photograph is longer than those of samples, which no generated image can match. An
    unrelated candidate scores 1, whatever the encoder.
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
