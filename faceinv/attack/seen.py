"""The attacker's preparation where only a part of each descriptor leaks: everything is learnt from that part.

A part is represented by the whole descriptor that it makes most likely, which depends on nothing else. Readers and the
latent regressor learn from such descriptors of the samples, and the objective compares a candidate's descriptor with
the target's. To compare only the numbers that leaked was tried, and is worse: a search then moves the others freely.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

from torch import Tensor

from faceinv.attack.leaks import SAMPLES, completed_view
from faceinv.attack.pairs import Pairs
from faceinv.attack.preparation import Preparation
from faceinv.attack.scale import at_likely_length
from faceinv.attack.views import View
from faceinv.contracts.leaks import Leak
from faceinv.plugins.code import core_hash
from faceinv.probes.reader import Examples
from faceinv.probes.whitening import Whitening


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
        self.view = View(leak, self._samples)

    @cached_property
    def provenance(self) -> dict[str, object]:
        """Everything that the pairs depend on, the part that leaks included."""
        code = core_hash(of=("attack/leaks.py", "attack/seen.py", "attack/views.py"))
        return {**self._whole.provenance, "leak": str(self._leak), "leak code": code}

    def completed(self, part: Tensor) -> Tensor:
        """Return the most likely descriptors ``(B, D)`` given the part ``(B, N)`` that leaks of each."""
        return at_likely_length(completed_view(self.view, part, self._samples), self._whole)

    @cached_property
    def pairs(self) -> Pairs:
        """The pairs of the whole encoder, with what the part that leaks tells of each descriptor."""
        return replace(self._whole.pairs, descriptors=self._known(self._whole.pairs.descriptors))

    @cached_property
    def reading_whitening(self) -> Whitening:
        """The whitening of the samples' parts, also for readers that learn from photographs."""
        return self.whitening

    @property
    def _samples(self) -> Tensor:
        """Descriptors ``(S, D)`` that show how whole ones are distributed."""
        return self._whole.pairs.descriptors[:SAMPLES]

    def labels(self, name: str) -> Tensor:
        """Return the labels ``(N, *shape)`` of the pairs' images."""
        return self._whole.labels(name)

    def examples(self, name: str) -> Examples:
        """Return what the reader of the probe ``name`` learns from: what their parts tell of descriptors."""
        whole = self._whole.examples(name)
        return replace(whole, descriptors=self._known(whole.descriptors))

    def _known(self, descriptors: Tensor) -> Tensor:
        return self.completed(self.view(descriptors.double()))
