"""The attacker's preparation where only a part of each descriptor leaks: everything is learnt from that part."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from faceinv.attack.leaks import SAMPLES
from faceinv.attack.pairs import Pairs
from faceinv.attack.preparation import Preparation
from faceinv.attack.views import View
from faceinv.contracts.leaks import Leak
from faceinv.contracts.specs import EncoderSpec
from faceinv.models.loader import FramedEncoder
from faceinv.plugins.code import core_hash
from faceinv.probes.reader import Examples
from faceinv.probes.whitening import Whitening


class SeenEncoder(FramedEncoder):
    """An encoder of which only a part of each descriptor is seen.

    Args:
        whole: The encoder.
        view: The part.
    """

    def __init__(self, whole: FramedEncoder, view: View) -> None:
        nn.Module.__init__(self)
        self.encoder, self.warp, self.view = whole.encoder, whole.warp, view

    @property
    def spec(self) -> EncoderSpec:
        """The whole encoder's declaration, with the length of the part."""
        return replace(self.encoder.spec, dim=self.view.dim)

    @property
    def dim(self) -> int:
        """Length of the part."""
        return self.view.dim

    def forward(self, images: Tensor) -> Tensor:
        """Return the part ``(B, N)`` of the descriptors of images ``(B, 3, H, W)`` in the generator's framing."""
        part: Tensor = self.view(super().forward(images))
        return part


class SeenPreparation(Preparation):
    """A preparation whose regressor and readers learn from the part of each descriptor that leaks.

    Args:
        whole: The preparation for whole descriptors, whose pairs are used.
        leak: ``dims`` or ``bits``.
        given: Arguments of ``whole``.
    """

    def __init__(self, whole: Preparation, leak: Leak, **given: Any) -> None:
        super().__init__(**given)
        self._whole, self._leak = whole, leak
        self.view = View(leak, whole.pairs.descriptors[:SAMPLES])
        self.encoder = SeenEncoder(whole.encoder, self.view).to(whole.loader.device)

    @cached_property
    def provenance(self) -> dict[str, object]:
        """Everything that the pairs depend on, the part that leaks included."""
        code = core_hash(of=("attack/leaks.py", "attack/seen.py", "attack/views.py"))
        return {**self._whole.provenance, "leak": str(self._leak), "leak code": code}

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of the whole encoder, with the part of each descriptor that is seen."""
        return replace(self._whole.pairs, descriptors=self._part(self._whole.pairs.descriptors))

    @cached_property
    def reading_whitening(self) -> Whitening:
        """The whitening of the samples' parts, also for readers that learn from photographs."""
        return self.whitening

    @property
    def samples(self) -> Tensor:
        """Whole descriptors ``(S, D)`` that show how those are distributed."""
        return self._whole.pairs.descriptors[:SAMPLES]

    def labels(self, name: str) -> Tensor:
        """Return the labels ``(N, *shape)`` of the pairs' images."""
        return self._whole.labels(name)

    def examples(self, name: str) -> Examples:
        """Return what the reader of the probe ``name`` learns from: parts of descriptors."""
        whole = self._whole.examples(name)
        return replace(whole, descriptors=self._part(whole.descriptors))

    def _part(self, descriptors: Tensor) -> Tensor:
        part: Tensor = self.view(descriptors).detach()
        return part
