"""How a network wants its images, found by how well it tells people apart with each way to make them.

All combinations of crop, order of colours and range are tried on few pairs of photographs, and the best few on all
(successive halving: Karnin, Koren, Somekh 2013). So a wrong crop or colour order is seen before it spoils a verdict.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector
from faceinv.contracts.progress import Reporter
from faceinv.data.alignment import aligner
from faceinv.errors import InputError
from faceinv.models.external.facts import COLOURS, FRAMINGS, SCALINGS, Facts
from faceinv.models.external.prepared import Prepared
from faceinv.scoring.statistics import Interval, wilson
from faceinv.scoring.verification import best_threshold

Scores = npt.NDArray[np.float64]

#: Pairs of the first rounds, and how many combinations go on after each.
_ROUNDS = ((24, 12), (96, 4))
#: Fewest pairs that can tell anything.
FEWEST = 20
_FOLDS, _RESAMPLES, _BATCH = 10, 2000, 32


@dataclass(frozen=True)
class Pair:
    """Two photographs of a data set, and whether they show one person."""

    first: int
    second: int
    same: bool


@dataclass(frozen=True)
class Trial:
    """One way to make images, and what it gave.

    Args:
        facts: The way.
        scores: Cosine of each pair.
        accuracy: Share of pairs decided correctly with thresholds chosen on other pairs, with its 95 % interval.
        separation: Distance of the mean cosines of both kinds of pairs, in standard deviations (d').
        behind: Whether it is clearly behind the best one, by the separation on the same pairs.
    """

    facts: Facts
    scores: Scores
    accuracy: Interval
    separation: float
    behind: bool = True

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        return len(self.scores)


@dataclass(frozen=True)
class Inspection:
    """What was found out about a network.

    Args:
        trials: Every way that was tried, the best first.
        dim: Length of a descriptor.
        unit_length: Whether descriptors have length 1.
        batch_difference: Greatest difference of a descriptor in a batch from that of the image alone, relative to
            the greatest component.
        milliseconds: Time of one image in a batch.
        operations: Multiplications and additions for one image; ``None`` for a black box.
    """

    trials: tuple[Trial, ...]
    dim: int
    unit_length: bool
    batch_difference: float
    milliseconds: float
    operations: int | None

    @property
    def best(self) -> Trial:
        """The best way."""
        return self.trials[0]

    def undecided(self, fact: str) -> list[str]:
        """Return the other values of a fact that are not clearly behind."""
        close = [getattr(trial.facts, fact) for trial in self.trials[1:] if not trial.behind]
        return [value for value in dict.fromkeys(close) if value != getattr(self.best.facts, fact)]


def choose_pairs(people: Sequence[str], count: int, seed: int = 0) -> list[Pair]:
    """Return up to ``count`` pairs, of one person and of two in turn; the first ones stay the same for a larger count.

    Raises:
        InputError: if the people have too few photographs.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(people))
    photographs: dict[str, list[int]] = {}
    for index in order:
        photographs.setdefault(people[index], []).append(int(index))
    # Everybody's first two photographs, then everybody's next two.
    most = max((len(found) for found in photographs.values()), default=0)
    genuine = [
        Pair(found[start], found[start + 1], True)
        for start in range(0, most - 1, 2)
        for found in photographs.values()
        if len(found) > start + 1
    ]
    first, second = (rng.permutation(len(people)) for _ in range(2))
    impostor = [Pair(int(a), int(b), False) for a, b in zip(first, second, strict=True) if people[a] != people[b]]
    half = min(count // 2, len(genuine), len(impostor))
    if 2 * half < FEWEST:
        raise InputError(
            f"At least {FEWEST} pairs of photographs are needed, half of them of one person; there are {2 * half}."
        )
    return list(itertools.chain.from_iterable(zip(genuine[:half], impostor[:half], strict=True)))


def inspect(
    network: nn.Module,
    size: tuple[int, int],
    dataset: Dataset,
    detector: Detector | None,
    *,
    count: int,
    progress: Reporter | None = None,
) -> Inspection:
    """Try every way to make images for a network.

    Args:
        network: Maps images of this size to descriptors.
        size: Height and width of its images.
        dataset: Photographs with the people in them.
        detector: Finds faces, if the data set has no framing.
        count: Number of pairs.
        progress: Called with (what, done, of).

    Raises:
        InputError: if the data set names no people, has too few photographs of each, or no face is found in one.
    """
    if dataset.identities is None:
        raise InputError("The data set does not say who is in its photographs, so nothing can be compared.")
    pairs = choose_pairs(dataset.identities, count)
    tester = _Tester(network, size, dataset, detector, pairs, progress or (lambda what, done, of: None))
    ways = [
        Facts(framing=framing, colour=colour, scaling=scaling)
        for framing, colour, scaling in itertools.product(FRAMINGS, COLOURS, SCALINGS)
    ]
    left_out: list[Trial] = []
    for number, keep in _ROUNDS:
        if number < len(pairs):
            trials = tester.trials(ways, number)
            left_out = trials[keep:] + left_out
            ways = [trial.facts for trial in trials[:keep]]
    trials = tester.trials(ways, len(pairs))
    behind = [False, *(_clearly_behind(trials[0], trial, pairs, len(trials) - 1) for trial in trials[1:])]
    finalists = [replace(trial, behind=late) for trial, late in zip(trials, behind, strict=True)]
    return tester.described((*finalists, *left_out))


class _Tester:
    """Embeds the photographs of the pairs in every way, each once."""

    def __init__(
        self,
        network: nn.Module,
        size: tuple[int, int],
        dataset: Dataset,
        detector: Detector | None,
        pairs: Sequence[Pair],
        progress: Reporter,
    ) -> None:
        self._network, self._size, self._pairs, self._progress = network, size, pairs, progress
        self._dataset, self._detector = dataset, detector
        self._crops: dict[str, dict[int, Tensor]] = {name: {} for name in FRAMINGS}
        self._descriptors: dict[Facts, dict[int, Tensor]] = {}

    def trials(self, ways: Sequence[Facts], number: int) -> list[Trial]:
        """Return the trials of these ways on the first ``number`` pairs, the best first."""
        made = []
        for done, facts in enumerate(ways):
            self._progress(f"{len(ways)} ways on {number} pairs", done, len(ways))
            made.append(self._trial(facts, self._pairs[:number]))
        return sorted(made, key=lambda trial: -trial.separation)

    def _trial(self, facts: Facts, pairs: Sequence[Pair]) -> Trial:
        known = self._descriptors.setdefault(facts, {})
        missing = sorted({index for pair in pairs for index in (pair.first, pair.second)} - known.keys())
        prepared = Prepared(self._network, facts)
        for start in range(0, len(missing), _BATCH):
            rows = missing[start : start + _BATCH]
            known.update(zip(rows, self._embedded(prepared, facts, rows), strict=True))
        first, second = (torch.stack([known[getattr(pair, end)] for pair in pairs]) for end in ("first", "second"))
        cosines = torch.nan_to_num(torch.cosine_similarity(first, second).double(), nan=0.0).numpy()
        same = np.array([pair.same for pair in pairs])
        right = int(_decisions(cosines, same).sum())
        return Trial(facts, cosines, wilson(right, len(pairs)), _separation(cosines, same))

    @torch.inference_mode()
    def _embedded(self, prepared: nn.Module, facts: Facts, rows: Sequence[int]) -> Tensor:
        crops = self._crops[str(facts.framing)]
        for row in rows:
            if row not in crops:
                source = self._dataset.framing
                bring = aligner(replace(facts, size=self._size).frame(), source, self._detector)
                crops[row] = bring(self._dataset.load(row)).clamp(0, 1).mul(255).round().to(torch.uint8)
        images = torch.stack([crops[row] for row in rows]).float() / 255
        made: Tensor = prepared(images)
        return made

    @torch.inference_mode()
    def described(self, trials: tuple[Trial, ...]) -> Inspection:
        """Return the inspection, with what else can be measured in the best way."""
        facts = trials[0].facts
        descriptors = torch.stack(list(self._descriptors[facts].values()))
        lengths = descriptors.norm(dim=1)
        prepared = Prepared(self._network, facts)
        rows = list(self._crops[str(facts.framing)])[:8]
        alone = torch.cat([self._embedded(prepared, facts, [row]) for row in rows])
        begun = time.perf_counter()
        together = self._embedded(prepared, facts, rows)
        seconds = time.perf_counter() - begun
        difference = float((alone - together).abs().max() / alone.abs().max().clamp(min=1e-12))
        unit = bool((lengths - 1).abs().max() < 1e-3)
        operations = _operations(self._network, self._size)
        return Inspection(trials, descriptors.shape[1], unit, difference, 1000 * seconds / len(rows), operations)


def _operations(network: nn.Module, size: tuple[int, int]) -> int | None:
    """Return the multiplications and additions for one image; ``None`` if torch does not see any."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.full((1, 3, *size), 0.5))
    return int(counter.get_total_flops()) or None


def _decisions(scores: Scores, same: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return whether each pair is decided correctly with the threshold that is best on the other nine tenths."""
    fold = np.arange(len(scores)) // 2 % _FOLDS
    right = np.zeros(len(scores), dtype=bool)
    for number in range(_FOLDS):
        threshold, _ = best_threshold(scores[fold != number], same[fold != number])
        right[fold == number] = (scores[fold == number] >= threshold) == same[fold == number]
    return right


def _separation(scores: Scores, same: npt.NDArray[np.bool_]) -> float:
    return float(_separations(scores[None, same], scores[None, ~same])[0])


def _separations(genuine: Scores, impostor: Scores) -> Scores:
    """Return d' of each row of scores."""
    spread = np.sqrt((genuine.var(1) + impostor.var(1)) / 2)
    found: Scores = (genuine.mean(1) - impostor.mean(1)) / spread.clip(1e-9)
    return found


def _clearly_behind(best: Trial, other: Trial, pairs: Sequence[Pair], comparisons: int) -> bool:
    """Return whether the separation is worse on the same pairs: paired bootstrap, 95 % for all comparisons together."""
    same = np.array([pair.same for pair in pairs])
    rng = np.random.default_rng(0)
    drawn = {kind: rng.integers(0, (same == kind).sum(), (_RESAMPLES, (same == kind).sum())) for kind in (True, False)}

    def resampled(trial: Trial) -> Scores:
        return _separations(trial.scores[same][drawn[True]], trial.scores[~same][drawn[False]])

    return bool(np.quantile(resampled(best) - resampled(other), 0.025 / max(comparisons, 1)) > 0)
