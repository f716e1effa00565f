"""What an attacker has of a cell's targets: from the system's descriptors to one that can be inverted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.attack.decisions import from_decisions
from faceinv.attack.leaks import SAMPLES, Answers, from_scores
from faceinv.attack.preparation import Preparation
from faceinv.attack.rendering import descriptors_of
from faceinv.attack.scale import at_likely_length
from faceinv.attack.seen import SeenPreparation
from faceinv.attack.space_map import SpaceMap, fitted_map
from faceinv.attack.templates import fused
from faceinv.attack.views import View
from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judge
from faceinv.bench.naming import leak_key, preparation_key, targets_key
from faceinv.bench.resources import Resources
from faceinv.contracts.leaks import Leak, parse_knowledge, parse_leak
from faceinv.data.targets import TargetFiles
from faceinv.errors import InputError
from faceinv.scoring.statistics import estimate
from faceinv.storage.parts import Part
from faceinv.storage.records import LeakFacts
from faceinv.storage.schema import finite

#: Columns of the rows: cosine of what is inverted to the target's own descriptor, on the encoder in the loss;
#: answers that the system gave about the descriptor; whether it took an image of the attacker's for the person.
LEAK_COSINE, LEAK_ANSWERS, LEAK_ENTERED = LEAK_COLUMNS = ("leak_cosine", "leak_answers", "leak_entered")


@dataclass(frozen=True)
class Known:
    """What an attacker has of some targets.

    Args:
        descriptors: ``(n, D)``, of the encoder in the attacker's loss.
        columns: A value for each target, by column; empty if the target's own descriptor is inverted.
        templates: All that leaked of each target's person ``(n, K, D)``, if the objectives of all are added up.
        about: What the record notes of the leak.
    """

    descriptors: Tensor
    columns: Mapping[str, list[float]] = field(default_factory=dict)
    templates: Tensor | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Any]:
        """What a part of the cell notes of it."""
        return {"leak": dict(self.about)} if self.columns else {}


@dataclass(frozen=True)
class _Found:
    """What an attacker makes of descriptors that leak.

    Args:
        inverted: What is inverted ``(B, D)``, on the encoder in the loss.
        system: The system that was asked; ``None`` if whole descriptors leaked.
        about: What the record notes.
    """

    inverted: Tensor
    system: Answers | None = None
    about: Mapping[str, Any] = field(default_factory=dict)


def leak_facts(cell: Cell, whole: Part) -> LeakFacts | None:
    """Return the record's entry on what leaked; ``None`` for whole descriptors of an encoder that can be run."""
    if LEAK_COSINE not in whole.columns:
        return None
    found, columns = estimate(whole.columns[LEAK_COSINE]), whole.columns
    entered = {"entered": float(columns[LEAK_ENTERED].mean())} if LEAK_ENTERED in columns else {}
    content = {
        "leaked": cell.encoder,
        "steered_by": cell.steering,
        "judged_by": list(cell.critics),
        "cosine": finite({"mean": found.mean, "low": found.low, "high": found.high}),
        "answers": int(columns[LEAK_ANSWERS].max()),
        **entered,
        **whole.facts["leak"],
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
        self._pairs: dict[tuple[object, ...], tuple[Tensor, Tensor]] = {}
        self._maps: dict[tuple[object, ...], SpaceMap] = {}
        self._thresholds: dict[tuple[object, ...], tuple[float, float]] = {}

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
        stored = self._stored(cell, targets, rows, own)
        leak = parse_leak(cell.leak or "descriptor", own.shape[1])
        truth = self._judge.embed(cell, cell.surrogate, images, rows) if cell.surrogate else own
        found, of_person = self._found(cell, targets, leak, stored.flatten(0, 1)), stored.shape[:2]
        each = found.inverted.view(*of_person, -1)
        inverted = fused(each, cell.fusion)
        cosines = nn.functional.cosine_similarity(inverted, truth)
        asked = torch.zeros(of_person) if found.system is None else found.system.asked.view(of_person)
        columns = {LEAK_COSINE: cosines.tolist(), LEAK_ANSWERS: asked.amax(1).tolist()}
        if leak and leak.kind == "decisions" and found.system:
            columns[LEAK_ENTERED] = found.system.entered.view(of_person).any(1).float().tolist()
        return Known(inverted, columns, each if cell.fusion == "sum" else None, found.about)

    def _stored(self, cell: Cell, targets: TargetFiles, rows: range, own: Tensor) -> Tensor:
        """Return all descriptors ``(n, K, D)`` of each target's person that the system stores."""
        further = cell.leaked_per_person - 1
        if not further:
            return own[:, None]
        more = self._resources.companions(cell)
        places = range(rows.start * further, rows.stop * further)
        others = self._judge.embed(cell, cell.encoder, more.images(places))
        return torch.cat([own[:, None], others.view(len(own), further, -1)], 1)

    def _found(self, cell: Cell, targets: TargetFiles, leak: Leak | None, stored: Tensor) -> _Found:
        """Return what the attacker makes of the descriptors.

        Args:
            cell: The cell.
            targets: Its targets.
            leak: What leaks of each descriptor; ``None`` for all of it.
            stored: The system's descriptors ``(B, D)``.
        """
        if cell.surrogate:
            return self._mapped(cell, leak, stored)
        if leak is None:
            return _Found(stored)
        preparation = self._resources.preparation(cell)
        if isinstance(preparation, SeenPreparation):
            system = Answers(stored, leak, view=preparation.view)
            return _Found(preparation.completed(system.part()), system)
        samples, about = self._prior(cell).pairs, dict[str, Any]()
        if leak.kind == "scores":
            system = Answers(stored, leak)
            found = from_scores(system, leak.n, samples.descriptors)
        else:
            rate, threshold = self._threshold(cell, targets)
            system = Answers(stored, leak, threshold=threshold)
            found = from_decisions(system, samples, partial(descriptors_of, self._prior(cell)))
            about = {"fmr": rate, "threshold": threshold}
        found = at_likely_length(found, preparation)
        return _Found(found, system, about)

    def _mapped(self, cell: Cell, leak: Leak | None, stored: Tensor) -> _Found:
        """Return what an attacker makes of the leak who has pairs in place of the encoder; see :meth:`_found`."""
        leaked, own = self._known_pairs(cell)
        given, inputs, system = nn.functional.normalize(stored), nn.functional.normalize(leaked), None
        if leak and leak.kind == "scores":
            system = Answers(stored, leak)
            given = from_scores(system, leak.n, leaked)
        elif leak:
            view = View(leak, leaked)
            system = Answers(stored, leak, view=view)
            given, inputs = system.part(), view(leaked)
        key = (*leak_key(cell), cell.leak)
        if key not in self._maps:
            self._maps[key] = fitted_map(inputs, own)
        mapped = self._maps[key]
        # At the mean length, a map's result lies where no descriptor does.
        found = at_likely_length(mapped(given), self._resources.preparation(cell))
        return _Found(found, system, {"map": mapped.kind, "map_cosine": mapped.held_out})

    def _prior(self, cell: Cell) -> Preparation:
        """Return samples of the generator, embedded by the encoder that leaked."""
        key = (*preparation_key(cell), cell.encoder)
        if key not in self._samples:
            self._samples[key] = self._resources.samples(cell, SAMPLES)
        return self._samples[key]

    def _threshold(self, cell: Cell, targets: TargetFiles) -> tuple[float, float]:
        """Return the false match rate that the system is set to, and its threshold."""
        key = (targets_key(cell), cell.encoder, cell.recognition, cell.recognition_limit)
        if key not in self._thresholds:
            resources = self._resources
            own = self._judge.embed(cell, cell.encoder, targets.images(range(len(targets.ids))))
            self._thresholds[key] = self._judge.threshold(
                cell, targets, own, resources.dataset(cell)[0], resources.recognition_dataset(cell)
            )
        return self._thresholds[key]

    def _known_pairs(self, cell: Cell) -> tuple[Tensor, Tensor]:
        """Return the attacker's pairs: descriptors of the encoder that leaked, and of the surrogate."""
        key = leak_key(cell)
        if key not in self._pairs:
            wanted = parse_knowledge(cell.knowledge)
            self._pairs[key] = _taken(self._resources.knowledge_pairs(cell), wanted, cell)
        return self._pairs[key]


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
