"""Verification: thresholds, error rates and accuracy of an encoder, as defined in docs/reference/protocols.md.

Scores are cosines; a pair is accepted if its score is at or above the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from faceinv.contracts.protocols import Threshold
from faceinv.scoring.statistics import wilson

Scores = npt.NDArray[np.float64]

#: False match rates at which attacks are scored.
FALSE_MATCH_RATES = (1e-2, 1e-3, 1e-4)
#: With fewer false matches, the rate at the threshold is not known within 30 % (Doddington's rule of 30).
ENOUGH_FALSE_MATCHES = 30
FOLDS = 10


@dataclass(frozen=True)
class Accuracy:
    """Share of pairs decided correctly with thresholds chosen on other people, with its 95 % Wilson interval."""

    accuracy: float
    low: float
    high: float
    pairs: int
    folds: int


def all_pairs(descriptors: npt.NDArray[np.floating], people: Sequence[int], block: int = 1024) -> tuple[Scores, Scores]:
    """Return the cosines of all pairs of photographs, those of one person and those of two.

    Args:
        descriptors: ``(N, D)``, none of them zero; they need not have unit length.
        people: The person in each photograph, ``N`` numbers.
        block: Number of rows of the matrix of all pairs in memory at a time.

    Returns:
        Genuine and impostor scores; together ``N (N − 1) / 2``.
    """
    unit = _unit(descriptors)
    codes = np.asarray(people)
    genuine, impostor = [], []
    for first in range(0, len(unit), block):
        cosines = unit[first : first + block] @ unit[first:].T
        rows, columns = np.triu_indices(len(cosines), k=1, m=cosines.shape[1])
        scores = cosines[rows, columns].astype(np.float64)
        same = codes[first + rows] == codes[first + columns]
        genuine.append(scores[same])
        impostor.append(scores[~same])
    return (np.concatenate(genuine), np.concatenate(impostor)) if genuine else (np.empty(0), np.empty(0))


def threshold_at(fmr: float, impostor: Scores, genuine: Scores) -> Threshold:
    """Return the threshold at a false match rate, from measured scores only; nothing is extrapolated.

    Args:
        fmr: Between 0 and 1.
        impostor: Scores of pairs of two people.
        genuine: Scores of pairs of one person; may be empty.
    """
    needed, n = int(np.ceil(1 / fmr - 1e-9)), len(impostor)
    if n < needed:
        reason = f"too few pairs: FMR {fmr:g} needs at least {needed:,} impostor pairs, there are {n:,}"
        return Threshold(fmr, None, None, n, needed, None, reason, None)
    allowed = int(np.floor(fmr * n + 1e-9))
    # `allowed` scores are above highest[0], fewer if some of them equal it.
    highest = np.sort(np.partition(impostor, n - allowed - 1)[n - allowed - 1 :]) if allowed < n else np.sort(impostor)
    above = highest[highest > highest[0]] if allowed < n else highest
    threshold = float(above[0]) if len(above) else float(np.nextafter(highest[0], np.inf))
    false_matches = len(above)
    note = None
    if false_matches < ENOUGH_FALSE_MATCHES:
        note = (
            f"rests on {false_matches} false match{'' if false_matches == 1 else 'es'}: "
            f"below {ENOUGH_FALSE_MATCHES} the rate is not known within 30 %"
        )
    tmr = float((genuine >= threshold).mean()) if len(genuine) else None
    return Threshold(fmr, threshold, false_matches, n, needed, tmr, None, note)


def equal_error_rate(genuine: Scores, impostor: Scores) -> tuple[float, float] | None:
    """Return the equal error rate and its threshold, or ``None`` if either kind of pair is missing.

    The rate is where the line through the measured points (false match rate, false non-match rate) crosses the
    diagonal; the threshold is that of the nearest measured point.
    """
    if not len(genuine) or not len(impostor):
        return None
    thresholds = np.unique(np.concatenate([genuine, impostor]))
    # One more point, at which nothing is accepted.
    thresholds = np.append(thresholds, np.nextafter(thresholds[-1], np.inf))
    accepted = len(impostor) - np.searchsorted(np.sort(impostor), thresholds, side="left")
    fmr = accepted / len(impostor)
    fnmr = np.searchsorted(np.sort(genuine), thresholds, side="left") / len(genuine)
    gap = fnmr - fmr  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    rate = fmr[before] + share * (fmr[after] - fmr[before])
    nearest = before if -gap[before] < gap[after] else after
    return float(rate), float(thresholds[nearest])


def best_threshold(scores: Scores, same: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return the threshold that decides most pairs correctly, and their share.

    Of equally good thresholds, this is the middle of the first interval.
    """
    order = np.argsort(scores, kind="stable")
    ordered, truth = scores[order], same[order]
    # With a threshold just below ordered[k], all pairs before k are rejected.
    right = np.concatenate([[0], np.cumsum(~truth)]) + truth.sum() - np.concatenate([[0], np.cumsum(truth)])
    padded = np.concatenate([[ordered[0] - 1], ordered, [ordered[-1] + 1]])
    possible = np.concatenate([[True], ordered[1:] > ordered[:-1], [True]])
    k = int(np.argmax(np.where(possible, right, -1)))
    return float((padded[k] + padded[k + 1]) / 2), float(right[k] / len(scores))


def cross_validated_accuracy(
    descriptors: npt.NDArray[np.floating], people: Sequence[int], folds: int = FOLDS
) -> Accuracy | None:
    """Return the verification accuracy on as many impostor as genuine pairs, or ``None`` with too few people.

    As in LFW's View 2: people are divided into folds, pairs are formed within a fold, and the threshold of a fold is
    the best one on all others.

    Args:
        descriptors: ``(N, D)``.
        people: The person in each photograph, ``N`` numbers.
        folds: Number of folds; at least as many people must have two photographs.
    """
    unit, codes = _unit(descriptors), np.asarray(people)
    names, counts = np.unique(codes, return_counts=True)
    if (counts > 1).sum() < folds:
        return None
    # People with several photographs first, in turn, so that every fold has genuine pairs.
    fold_of = {name: k % folds for k, name in enumerate(names[np.argsort(-counts, kind="stable")])}
    fold = np.array([fold_of[code] for code in codes])
    rng = np.random.default_rng(0)
    scores, same, where = [], [], []
    for k in range(folds):
        members = np.flatnonzero(fold == k)
        first, second = (members[index] for index in np.triu_indices(len(members), k=1))
        alike = codes[first] == codes[second]
        mixed = np.flatnonzero(~alike)
        chosen = np.concatenate(
            [np.flatnonzero(alike), np.sort(rng.permutation(mixed)[: min(alike.sum(), len(mixed))])]
        )
        scores.append((unit[first[chosen]] * unit[second[chosen]]).sum(1))
        same.append(alike[chosen])
        where.append(np.full(len(chosen), k))
    score, truth, part = np.concatenate(scores), np.concatenate(same), np.concatenate(where)
    right = 0
    for k in range(folds):
        threshold, _ = best_threshold(score[part != k], truth[part != k])
        right += int(((score[part == k] >= threshold) == truth[part == k]).sum())
    share = wilson(right, len(score))
    return Accuracy(share.mean, share.low, share.high, len(score), folds)


def _unit(descriptors: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    array = np.asarray(descriptors, dtype=np.float32)
    unit: npt.NDArray[np.float32] = array / np.linalg.norm(array, axis=1, keepdims=True).clip(1e-12)
    return unit
