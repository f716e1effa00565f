"""What an attacker has of a cell's targets: from the system's descriptors to one that can be inverted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceinv.attack.leaks import SAMPLES, Answers, recovered
from faceinv.attack.preparation import Preparation
from faceinv.attack.scale import at_likely_length
from faceinv.attack.space_map import SpaceMap, fitted_map
from faceinv.attack.templates import fused
from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judge
from faceinv.bench.naming import leak_key, preparation_key
from faceinv.bench.resources import Resources
from faceinv.contracts.leaks import parse_knowledge, parse_leak
from faceinv.data.targets import TargetFiles
from faceinv.errors import InputError
from faceinv.scoring.statistics import estimate
from faceinv.storage.parts import Part
from faceinv.storage.records import LeakFacts
from faceinv.storage.schema import finite

#: Column of the rows: cosine of what is inverted to the target's own descriptor, on the encoder in the loss.
LEAK_COSINE = "leak_cosine"


@dataclass(frozen=True)
class Known:
    """What an attacker has of some targets.

    Args:
        descriptors: ``(n, D)``, of the encoder in the attacker's loss.
        cosines: Cosine of each to the target's own descriptor on that encoder; ``None`` if they are the same.
        answers: Answers that the system gave about each target.
    """

    descriptors: Tensor
    cosines: Tensor | None = None
    answers: int = 0

    @property
    def columns(self) -> dict[str, list[float]]:
        """A value for each target, by column."""
        return {} if self.cosines is None else {LEAK_COSINE: self.cosines.tolist()}

    @property
    def facts(self) -> dict[str, int]:
        """What a part of the cell notes of it."""
        return {} if self.cosines is None else {"answers": self.answers}


def leak_facts(cell: Cell, whole: Part) -> LeakFacts | None:
    """Return the record's entry on what leaked; ``None`` for whole descriptors of an encoder that can be run."""
    if LEAK_COSINE not in whole.columns:
        return None
    found = estimate(whole.columns[LEAK_COSINE])
    content = {
        "leaked": cell.encoder,
        "steered_by": cell.steering,
        "judged_by": list(cell.critics),
        "answers": whole.facts["answers"],
        "cosine": finite({"mean": found.mean, "low": found.low, "high": found.high}),
    }
    return LeakFacts.model_validate(content)


class Leaks:
    """Makes the descriptors of cells leak as they say.

    Args:
        resources: Networks, data sets and the cache.
        judge: Embeds targets.
    """

    def __init__(self, resources: Resources, judge: Judge) -> None:
        self._resources, self._judge = resources, judge
        self._samples: dict[tuple[object, ...], Preparation] = {}
        self._maps: dict[tuple[object, ...], SpaceMap] = {}

    def known(self, cell: Cell, targets: TargetFiles, rows: range, images: Tensor) -> Known:
        """Return what leaks of the cell's targets, as descriptors of the encoder in the loss.

        Args:
            cell: The cell.
            targets: Its targets.
            rows: Some of them.
            images: Their images.
        """
        own = self._judge.embed(cell, cell.encoder, images, rows)
        if not cell.changes_descriptors:
            return Known(own)
        found, answers = self._templates(cell, targets, rows, own), 0
        leak = parse_leak(cell.leak or "descriptor", own.shape[1])
        if leak:
            samples = self._prior(cell).pairs.descriptors
            system = Answers(found, leak, samples)
            found = recovered(system, leak, samples)
            # The map to a surrogate takes directions.
            found = found if cell.surrogate else at_likely_length(found, self._resources.preparation(cell))
            answers = system.given
        truth = own
        if cell.surrogate:
            truth = self._judge.embed(cell, cell.surrogate, images, rows)
            found = self._map(cell)(found)
        return Known(found, nn.functional.cosine_similarity(found, truth), answers)

    def _templates(self, cell: Cell, targets: TargetFiles, rows: range, own: Tensor) -> Tensor:
        """Return one descriptor of each target's person, made of all that leaked."""
        further = cell.leaked_per_person - 1
        if not further:
            return own
        more = self._resources.companions(cell)
        places = range(rows.start * further, rows.stop * further)
        others = self._judge.embed(cell, cell.encoder, more.images(places))
        return fused(torch.cat([own[:, None], others.view(len(own), further, -1)], 1), cell.fusion)

    def _prior(self, cell: Cell) -> Preparation:
        """Return samples of the generator, embedded by the encoder that leaked."""
        key = (*preparation_key(cell), cell.encoder)
        if key not in self._samples:
            self._samples[key] = self._resources.samples(cell, SAMPLES)
        return self._samples[key]

    def _map(self, cell: Cell) -> SpaceMap:
        """Return the map from the encoder that leaked to the surrogate."""
        key = leak_key(cell)
        if key not in self._maps:
            wanted = parse_knowledge(cell.knowledge)
            leaked, own = _taken(self._resources.knowledge_pairs(cell), wanted, cell)
            self._maps[key] = fitted_map(leaked, own)
        return self._maps[key]


def _taken(chunks: Iterator[tuple[Tensor, Tensor]], wanted: int, cell: Cell) -> tuple[Tensor, Tensor]:
    """Return the first pairs of descriptors.

    Raises:
        InputError: if there are fewer.
    """
    leaked, own = [], []
    there = 0
    for a, b in chunks:
        leaked.append(a)
        own.append(b)
        there += len(a)
        if there >= wanted:
            return torch.cat(leaked)[:wanted], torch.cat(own)[:wanted]
    raise InputError(
        f"--knowledge pairs:{wanted}: {cell.dataset} has only {there} usable photographs of people who are not targets."
    )
