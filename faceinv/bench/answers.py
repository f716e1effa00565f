"""Several answers to one descriptor: reconstructed from different starts, measured, and compared with the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faceinv.attack.equal import at_equal_cosine
from faceinv.attack.leaks import SAMPLES
from faceinv.attack.rendering import descriptors_of, images_of
from faceinv.attack.starts import VariedStart
from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judge, Judgement
from faceinv.bench.leaks import Known
from faceinv.bench.methods import Methods
from faceinv.bench.resources import Resources
from faceinv.contracts.methods import Inversion
from faceinv.data.images import rounded
from faceinv.data.targets import Targets
from faceinv.errors import WeightsError
from faceinv.hardware import sent
from faceinv.scoring.calibration import LEVELS, calibrate
from faceinv.scoring.recognition import cosines_of_pairs, identity_scores
from faceinv.scoring.statistics import Estimate, estimate
from faceinv.storage.answer_records import AnswersFacts
from faceinv.storage.hashing import seed_of
from faceinv.storage.parts import Part
from faceinv.storage.schema import finite

#: What answers and truth are measured by, where the plugins are installed.
MEASURED = ("landmarks", "pose", "skin-colour")
#: Standard deviation of a pixel at which it is drawn as wholly unknown.
_UNKNOWN = 0.2

_ANSWERS, _TRUTH, _OWN, _FOUND = "answers of ", "truth of ", "target by ", "answers by "

#: Cosine of what each answer was before they were brought to one, to what was inverted.
REACHED = "reached by answers"

Floats = npt.NDArray[np.float32]
Start = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Several:
    """The answers to a batch of targets.

    Args:
        pictures: Further pictures of each target, by the suffix of their file.
        arrays: What parts keep of them, by name.
    """

    pictures: Mapping[str, Tensor]
    arrays: Mapping[str, Floats]


class Answers:
    """Reconstructs targets several times.

    Args:
        resources: Networks and the cache.
        judge: Embeds the answers.
        methods: Runs the cell's method.
    """

    def __init__(self, resources: Resources, judge: Judge, methods: Methods) -> None:
        self._resources, self._judge, self._methods = resources, judge, methods

    def several(
        self, cell: Cell, known: Known, names: Sequence[str], targets: Tensor, first: Inversion
    ) -> Several | None:
        """Return all answers to a batch of targets; ``None`` for a single answer.

        Args:
            cell: The cell.
            known: What the attacker has of the targets.
            names: Name of each target.
            targets: Their images, for the truth.
            first: The first answer.
        """
        if cell.answers < 2:
            return None
        starts: list[Start | None] = [self._methods.start(cell)]
        starts += [self._start(cell, names, number) for number in range(2, cell.answers + 1)]
        found = [first, *(self._found(cell, known, names, start, 2 + k) for k, start in enumerate(starts[1:]))]
        images, arrays = [rounded(answer.images) for answer in found], dict[str, Floats]()
        ends = [answer.latents for answer in found if answer.latents is not None]
        if len(ends) == len(found) and all(starts):
            images, reached = self._equal(cell, known, [start for start in starts if start], ends)
            arrays[REACHED] = reached.numpy()
        answers = torch.stack(images, 1)
        unsure = (answers.std(1).mean(1, keepdim=True) / _UNKNOWN).clamp(0, 1).expand(-1, 3, -1, -1)
        pictures = {f"-answer{number}": shown for number, shown in enumerate(images, 1)}
        pictures |= {"-mean": answers.mean(1), "-unsure": unsure}
        arrays |= {**self._measured(cell, answers, targets), **self._embedded(cell, answers, targets)}
        return Several(pictures, arrays)

    def _equal(
        self, cell: Cell, known: Known, starts: Sequence[Start], ends: Sequence[Tensor]
    ) -> tuple[list[Tensor], Tensor]:
        """Return the answers at one cosine for each target, and the cosines ``(B, K)`` that they had reached."""
        preparation = self._resources.preparation(cell)
        with torch.inference_mode():
            given = sent(known.descriptors, preparation.loader.device, preparation.loader.dtype)
            first = [start(given).float().cpu() for start in starts]
        latents, reached = at_equal_cosine(first, ends, known.descriptors, partial(descriptors_of, preparation))
        return [rounded(images_of(preparation, some)) for some in latents], reached

    def _start(self, cell: Cell, names: Sequence[str], number: int) -> Start | None:
        """Return the start of a further answer; ``None`` for a method without a regressor."""
        start = self._methods.start(cell)
        own = _named(names, number)
        if start is not None:
            few = (
                self._resources.preparation(cell)
                if cell.part
                else self._resources.samples(cell, SAMPLES, cell.steering)
            )
            pairs = few.pairs
            return VariedStart(start, pairs, [seed_of(f"{cell.seed} start of {name}") for name in own])
        return None

    def _found(self, cell: Cell, known: Known, names: Sequence[str], start: Start | None, number: int) -> Inversion:
        own = _named(names, number)
        return self._methods.invert(cell, known.descriptors, own, len(own), start=start, templates=known.templates)

    def _measured(self, cell: Cell, answers: Tensor, targets: Tensor) -> dict[str, Floats]:
        loader, found = self._resources.loader, dict[str, Floats]()
        framing = loader.generator(cell.generator).framing
        for name in (name for name in MEASURED if loader.host.knows("probe", name)):
            try:
                probe = loader.probe(name, framing)
            except WeightsError:
                continue
            with torch.inference_mode():
                truth = probe.label(targets.to(loader.device, loader.dtype)).flatten(1)
                each = [probe.label(some.to(loader.device, loader.dtype)).flatten(1) for some in answers.unbind(1)]
            found[f"{_TRUTH}{name}"] = truth.float().cpu().numpy()
            found[f"{_ANSWERS}{name}"] = torch.stack(each, 1).float().cpu().numpy()
        return found

    def _embedded(self, cell: Cell, answers: Tensor, targets: Tensor) -> dict[str, Floats]:
        found = {}
        for name in dict.fromkeys((cell.steering, cell.encoder, *cell.critics)):
            if name in cell.optional_critics:
                continue
            each = [self._judge.embed(cell, name, some) for some in answers.unbind(1)]
            found[f"{_FOUND}{name}"] = torch.stack(each, 1).numpy()
            found[f"{_OWN}{name}"] = self._judge.embed(cell, name, targets).numpy()
        return found


def _named(names: Sequence[str], number: int) -> list[str]:
    """Return the names of the targets of a further answer, which its random seeds depend on."""
    return [f"{name} answer {number}" for name in names]


def without_answers(read: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arrays of a part that do not belong to several answers."""
    return {
        name: array for name, array in read.items() if not name.startswith((_ANSWERS, _TRUTH, _OWN, _FOUND, REACHED))
    }


def answers_facts(cell: Cell, targets: Targets, whole: Part, scores: Judgement) -> AnswersFacts | None:
    """Return the record's entry on several answers; ``None`` for a single one."""
    if cell.answers < 2:
        return None
    people = list(targets.identities or targets.ids)
    own, found = (torch.from_numpy(whole.read[f"{kind}{cell.steering}"]) for kind in (_OWN, _FOUND))
    calibration = []
    for name in MEASURED:
        if f"{_ANSWERS}{name}" in whole.read:
            answers, truth = (whole.read[f"{kind}{name}"].astype(np.float64) for kind in (_ANSWERS, _TRUTH))
            held = calibrate(answers, truth, people)
            scaled = held.scaled or [None] * len(LEVELS)
            calibration.append(
                {
                    "attribute": name,
                    "left": held.left,
                    "factor": held.factor,
                    "ranges": [
                        {"level": level, "inside": _plain(inside), "scaled": _plain(after)}
                        for level, inside, after in zip(LEVELS, held.inside, scaled, strict=True)
                    ],
                }
            )
    content = {
        "answers": cell.answers,
        "cosines": [float(cosines_of_pairs(own, some).mean()) for some in found.unbind(1)],
        "reached": whole.read[REACHED].mean(0).tolist() if REACHED in whole.read else None,
        "accepted": _accepted(cell, whole, scores, people),
        "calibration": calibration,
    }
    return AnswersFacts.model_validate(finite(content))


def _accepted(cell: Cell, whole: Part, scores: Judgement, people: list[str]) -> list[dict[str, Any]]:
    """Return the share of each target's answers that encoders accept as the person, against another photograph."""
    rows: list[dict[str, Any]] = []
    if scores.people is None:
        return rows
    for role, block in scores.recognition.items():
        name = block["encoder"]
        if f"{_FOUND}{name}" not in whole.read:
            continue
        answers = torch.from_numpy(whole.read[f"{_FOUND}{name}"])
        others = [identity_scores(role, name, some, scores.people).others[:, :1] for some in answers.unbind(1)]
        cosines = torch.cat(others, 1).double().numpy()
        if not cosines.size or np.isnan(cosines).all():
            continue
        for threshold in block["thresholds"]:
            if threshold["threshold"] is None:
                continue
            accepted = np.where(np.isnan(cosines), np.nan, cosines >= threshold["threshold"])
            row = {"role": role, "encoder": name, "fmr": threshold["fmr"]}
            row["share"] = _plain(estimate(accepted.mean(1), people=people))
            row["any"] = _plain(estimate(accepted.max(1), people=people))
            row["all"] = _plain(estimate(accepted.min(1), people=people))
            rows.append(row)
    return rows


def _plain(found: Estimate | None) -> dict[str, float] | None:
    return None if found is None else {"mean": found.mean, "low": found.low, "high": found.high}
