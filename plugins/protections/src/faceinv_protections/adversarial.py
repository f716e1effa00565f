"""An adversarial projection: a network that keeps recognition while readers trained in turn lose the attribute.

ID2image leaves "an adversarial loss … that penalises the inclusion of non-ID information" to future work. The same idea
is in PASS (Dhar et al. 2021) and in Elazar and Goldberg 2018, who found that a reader trained afterwards recovers
much of what the one in the loop could not.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import ProtectionContext
from faceinv_protections.keyed import stream
from faceinv_protections.learnt import Erasure, network

#: Examples of a step, and those of them that the reader learns from; units of the hidden layers; the reader's penalty.
_BATCH, _LEARNT_FROM, _WIDTH, _FEATURES, _PENALTY = 1536, 1024, 256, 128, 1e-3
_RATE = 2e-3


class AdversarialProjection(Erasure):
    """``t = x + f(x)`` of length 1, where ``f`` is trained against readers of the attribute.

    Its loss is the mean squared change of the cosines of pairs, in units of their variance, plus ``weight`` times the
    share of the attribute's variance that a reader explains. In every step there is a new reader, the best of its kind:
    a hidden layer of random weights, and a linear layer that is solved for, through which gradients flow.

    Args:
        context: Descriptors and labels to learn from.
        attribute: The attribute to hide.
        weight: Weight of what readers read against the cosines of pairs.
        steps: Steps of training.
    """

    def __init__(
        self, context: ProtectionContext, *, attribute: str = "pose", weight: float = 3.0, steps: int = 300
    ) -> None:
        super().__init__(context, attribute)
        self._weight, self._steps = weight, steps

    @cached_property
    def _network(self) -> nn.Module:
        examples, labels = self.examples.float(), self.labels.float()
        dim, rng = examples.shape[1], stream(self._context.seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._context.seed)
            projection = network(dim, dim, _WIDTH)
        # The network starts as no change at all.
        for parameter in projection[-1].parameters():
            nn.init.zeros_(parameter)
        optimiser = torch.optim.Adam(projection.parameters(), _RATE)
        variance = (examples[:512] @ examples[:512].T).var()
        with torch.inference_mode(False), torch.enable_grad():
            for _ in range(self._steps):
                rows = torch.randint(len(examples), (_BATCH,), generator=rng)
                given, truth = examples[rows].clone(), labels[rows].clone()
                hidden = _applied(projection, given)
                changed = (hidden @ hidden.T - given @ given.T).square().mean() / variance
                explained = _explained(hidden, truth, rng)
                optimiser.zero_grad()
                # Below zero, the reader is fooled worse than a guess: that hides nothing from one trained anew.
                (changed + self._weight * explained.clamp_min(0)).backward()
                optimiser.step()
        return projection.requires_grad_(False)

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the projections ``(N, D)``, of length 1."""
        return _applied(self._network, descriptors.float())


def _applied(projection: nn.Module, descriptors: Tensor) -> Tensor:
    return F.normalize(descriptors + projection(descriptors))


def _explained(hidden: Tensor, truth: Tensor, rng: torch.Generator) -> Tensor:
    """Return the share of the variance of ``truth`` ``(B, k)`` that a reader of ``hidden`` ``(B, D)`` explains."""
    weights = torch.randn(hidden.shape[1], _FEATURES, generator=rng)
    inputs = torch.cat([hidden, F.gelu(hidden @ weights), torch.ones(len(hidden), 1)], 1)
    known, labels = inputs[:_LEARNT_FROM], truth[:_LEARNT_FROM]
    gram = known.T @ known
    gram = gram + _PENALTY * gram.diagonal().mean().detach() * torch.eye(len(gram))
    reader = torch.linalg.solve(gram, known.T @ labels)
    others = truth[_LEARNT_FROM:]
    return 1 - F.mse_loss(inputs[_LEARNT_FROM:] @ reader, others) / others.square().mean()
