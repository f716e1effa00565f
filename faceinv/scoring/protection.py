"""What a protection costs and what it is worth: recognition with templates, irreversibility and unlinkability.

The definitions are in docs/reference/protections.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from faceinv.contracts.protections import cosine_scores
from faceinv.scoring.statistics import estimate
from faceinv.scoring.verification import Scores, equal_error_rate, threshold_at

#: False match rates at which protected systems are scored.
RATES = (1e-2, 1e-3)
#: Keys, and bins of the histograms, for unlinkability.
KEYS, BINS = 10, 40
_RESAMPLES = 200

Flags = npt.NDArray[np.bool_]


class Pairs:
    """All pairs of photographs of known people, scored by one system.

    Args:
        scores: Score ``(N, N)`` of each stored template and each presented one.
        people: The person in each photograph ``(N,)``.
    """

    def __init__(self, scores: Tensor, people: Sequence[int]) -> None:
        self._scores = scores.double().numpy()
        codes = np.asarray(people)
        rows, columns = np.triu_indices(len(codes), k=1)
        same = codes[rows] == codes[columns]
        pairs = self._scores[rows, columns]
        self.genuine: Scores = pairs[same]
        self.impostor: Scores = pairs[~same]
        #: The person in each genuine pair.
        self.whose = codes[rows][same]
        self._codes = codes

    def first_hits(self) -> tuple[Flags, npt.NDArray[np.int64]]:
        """Return whether each photograph's nearest other one shows the same person, and the people.

        Only photographs of people who have another one count. Of equal scores, a stranger's counts first.
        """
        alike = self._codes[:, None] == self._codes[None, :]
        own, others = self._scores.copy(), self._scores.copy()
        own[~alike] = -np.inf
        np.fill_diagonal(own, -np.inf)
        others[alike] = -np.inf
        several = alike.sum(1) > 1
        return (own.max(1) > others.max(1))[several], self._codes[several]


def utility(stored: Tensor, presented: Tensor, compare: Callable[[Tensor, Tensor], Tensor], descriptors: Tensor,
            people: Sequence[int]) -> dict[str, Any]:  # fmt: skip
    """Return recognition with templates next to that with descriptors.

    Args:
        stored: Templates ``(N, M)`` of photographs, all under one key.
        presented: What is made of the same photographs at a login.
        compare: Scores stored templates against presented ones.
        descriptors: Their descriptors ``(N, D)``.
        people: The person in each photograph.
    """
    templates, plain = Pairs(compare(stored, presented), people), Pairs(cosine_scores(descriptors, descriptors), people)
    rates = []
    for rate in RATES:
        own, other = (threshold_at(rate, pairs.impostor, pairs.genuine) for pairs in (templates, plain))
        accepted, before = _accepted(templates, own.threshold), _accepted(plain, other.threshold)
        rates.append(
            {
                "fmr": rate,
                "threshold": own.threshold,
                "plain_threshold": other.threshold,
                **_paired("tmr", "plain", "difference", accepted, before, plain.whose),
                "reason": own.reason,
            }
        )
    (hits, whose), (known_hits, _) = templates.first_hits(), plain.first_hits()
    found, known = (equal_error_rate(pairs.genuine, pairs.impostor) for pairs in (templates, plain))
    return {
        "photographs": len(descriptors),
        "people": len(set(people)),
        "eer": found[0] if found else None,
        "plain_eer": known[0] if known else None,
        "rates": rates,
        **_paired("rank_1", "plain_rank_1", "rank_1_difference", hits, known_hits, whose),
    }


def irreversibility(
    template_scores: Tensor, cosines: Tensor, thresholds: Mapping[float, tuple[float | None, float | None]],
    people: Sequence[str] | None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Return solution rate, match rate and success at each false match rate that has thresholds.

    Args:
        template_scores: Score ``(N,)`` of each leaked template with that of the recovered descriptor.
        cosines: Cosine ``(N,)`` of leaked and recovered descriptors.
        thresholds: Of the protected and of the unprotected system, by false match rate.
        people: The person in each target.
    """
    rows = []
    for rate, (protected, plain) in thresholds.items():
        if protected is None or plain is None:
            continue
        solved = (template_scores >= protected).double().numpy()
        matched = (cosines >= plain).double().numpy()
        rows.append(
            {
                "fmr": rate,
                "solved": asdict(estimate(solved, people=people)),
                "matched": asdict(estimate(np.where(solved > 0, matched, np.nan), people=people)),
                "success": asdict(estimate(solved * matched, people=people)),
            }
        )
    return rows


def unlinkability(
    store: Callable[[Tensor, int], Tensor], present: Callable[[Tensor, int], Tensor],
    compare: Callable[[Tensor, Tensor], Tensor], descriptors: Tensor, people: Sequence[int], keys: Sequence[int],
) -> dict[str, Any] | None:  # fmt: skip
    """Return Dsys over pairs of different keys; ``None`` without two photographs of one person.

    Args:
        store: Makes templates ``(N, M)`` of descriptors under a key.
        present: Makes of descriptors what is presented at a login under a key.
        compare: Scores stored templates against presented ones.
        descriptors: ``(N, D)`` of photographs of known people.
        people: The person in each photograph.
        keys: The keys.
    """
    codes = np.asarray(people)
    rows, columns = np.triu_indices(len(codes), k=1)
    same = codes[rows] == codes[columns]
    if not same.any():
        return None
    rng = np.random.default_rng(0)
    other = rng.permutation(np.flatnonzero(~same))[: int(same.sum())]
    chosen = np.concatenate([np.flatnonzero(same), other])
    first, second, mated = rows[chosen], columns[chosen], same[chosen]
    scores, alike, whose = [], [], []
    stored = [store(descriptors, key) for key in keys]
    presented = [present(descriptors, key) for key in keys]
    for place in range(len(keys)):
        matrix = compare(stored[place], presented[(place + 1) % len(keys)])
        scores.append(matrix[torch.from_numpy(first), torch.from_numpy(second)].double().numpy())
        alike.append(mated)
        whose.append(codes[first])
    score, flags, person = np.concatenate(scores), np.concatenate(alike), np.concatenate(whose)
    return {
        "d_sys": _with_interval(score, flags, person, rng),
        "keys": len(keys),
        "bins": BINS,
        "mated": int(flags.sum()),
        "non_mated": int((~flags).sum()),
    }


def d_sys(mated: Scores, non_mated: Scores, bins: int = BINS, low: float = 0.0, high: float = 1.0) -> float:
    """Return Dsys, 0 for unlinkable templates to 1, with ω = 1 (Gomez-Barrero et al. 2018, equations 3 and 4).

    Args:
        mated: Scores of one person under different keys.
        non_mated: Scores of two people under different keys.
        bins: Bins of the histograms.
        low: Lower edge of the first bin.
        high: Upper edge of the last bin.
    """
    own, _ = np.histogram(mated, bins, (low, high))
    other, _ = np.histogram(non_mated, bins, (low, high))
    p, q = own / own.sum(), other / other.sum()
    # 2 LR / (1 + LR) − 1 with LR = p / q; 1 where q is 0, and no term where p is.
    local = np.clip((p - q) / np.maximum(p + q, 1e-300), 0, 1)
    return float((local * p).sum())


def _with_interval(score: Scores, mated: Flags, person: npt.NDArray[Any], rng: np.random.Generator) -> dict[str, Any]:
    low, high = float(score.min()), float(score.max()) + 1e-9
    _, code = np.unique(person, return_inverse=True)
    members = [np.flatnonzero(code == k) for k in range(code.max() + 1)]
    drawn = []
    for _ in range(_RESAMPLES):
        rows = np.concatenate([members[k] for k in rng.integers(0, len(members), len(members))])
        flags = mated[rows]
        if flags.any() and not flags.all():
            drawn.append(d_sys(score[rows][flags], score[rows][~flags], low=low, high=high))
    mean = d_sys(score[mated], score[~mated], low=low, high=high)
    if not drawn:
        return {"mean": mean, "low": np.nan, "high": np.nan}
    # Fewer people leave more bins empty, which biases the resamples upward, often beyond the estimate: the ends are
    # shifted back by that bias.
    ends = np.percentile(drawn, [2.5, 97.5]) - (np.mean(drawn) - mean)
    return {"mean": mean, "low": max(0.0, float(ends[0])), "high": min(1.0, float(ends[1]))}


def _accepted(pairs: Pairs, threshold: float | None) -> npt.NDArray[np.float64]:
    if threshold is None:
        return np.full(len(pairs.genuine), np.nan)
    return (pairs.genuine >= threshold).astype(np.float64)


def _paired(name: str, plain: str, difference: str, values: npt.NDArray[Any], reference: npt.NDArray[Any],
            people: npt.NDArray[Any]) -> dict[str, Any]:  # fmt: skip
    """Return the means of values and of the reference and their difference, with intervals over people."""
    own, other = values.astype(np.float64), reference.astype(np.float64)
    return {
        key: asdict(estimate(given, people=list(people)))
        for key, given in ((name, own), (plain, other), (difference, own - other))
    }
