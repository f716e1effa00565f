"""Recognition by an encoder: how well it tells people apart, and the cosines of reconstructions to photographs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faceinv.contracts.protocols import IdentityScores, Threshold
from faceinv.scoring.gallery import Gallery
from faceinv.scoring.verification import (
    FALSE_MATCH_RATES,
    FOLDS,
    Accuracy,
    Scores,
    all_pairs,
    cross_validated_accuracy,
    equal_error_rate,
    threshold_at,
)

#: Bins of the histograms in a record, from −1 to 1.
BINS = 100


@dataclass(frozen=True)
class Recognition:
    """How well an encoder tells the people of a gallery apart.

    Args:
        encoder: The encoder's name.
        source: ``"targets"``, or the data set that the photographs come from.
        photographs: Number of photographs.
        people: Number of people, or ``None`` if unknown.
        notes: Restrictions of the scores.
        genuine: Cosines of pairs of one person.
        impostor: Cosines of pairs of two people.
        thresholds: One for each false match rate.
        equal_error: Equal error rate and its threshold, or ``None`` without genuine pairs.
        accuracy: Verification accuracy, or ``None`` with too few people.
    """

    encoder: str
    source: str
    photographs: int
    people: int | None
    notes: tuple[str, ...]
    genuine: Scores
    impostor: Scores
    thresholds: tuple[Threshold, ...]
    equal_error: tuple[float, float] | None
    accuracy: Accuracy | None

    def record(self, scores: IdentityScores) -> dict[str, Any]:
        """Return the entry of the record, including the distributions of a cell's reconstructions."""
        rate, threshold = self.equal_error or (None, None)
        return {
            "encoder": self.encoder,
            "source": self.source,
            "photographs": self.photographs,
            "people": self.people,
            "notes": list(self.notes),
            "eer": rate,
            "eer_threshold": threshold,
            "verification": asdict(self.accuracy) if self.accuracy else None,
            "thresholds": [asdict(item) for item in self.thresholds],
            "bins": {"low": -1.0, "high": 1.0, "count": BINS},
            "distributions": {
                "genuine": _distribution(self.genuine),
                "impostor": _distribution(self.impostor),
                "leaked": _distribution(scores.leaked.double().numpy()),
                "other": _distribution(scores.others[~scores.others.isnan()].double().numpy()),
            },
        }


def measure_recognition(gallery: Gallery, encoder: str, source: str) -> Recognition:
    """Measure how well ``encoder`` tells the people of ``gallery`` apart, over all pairs of its photographs."""
    descriptors = gallery.descriptors[encoder].numpy()
    genuine, impostor = all_pairs(descriptors, gallery.people)
    accuracy = cross_validated_accuracy(descriptors, gallery.people)
    return Recognition(
        encoder=encoder,
        source=source,
        photographs=len(gallery),
        people=len(set(gallery.people)) if gallery.known else None,
        notes=_notes(gallery, len(genuine), accuracy),
        genuine=genuine,
        impostor=impostor,
        thresholds=tuple(threshold_at(rate, impostor, genuine) for rate in FALSE_MATCH_RATES),
        equal_error=equal_error_rate(genuine, impostor),
        accuracy=accuracy,
    )


def _notes(gallery: Gallery, genuine: int, accuracy: Accuracy | None) -> tuple[str, ...]:
    notes = []
    if not gallery.real:
        notes.append(
            "Samples of the generator have no identities, so there are impostor pairs only, and scores of "
            "photographs may differ (--recognition DATASET:PATH)."
        )
    elif not gallery.known:
        notes.append(
            "The photographs have no identities: each counts as another person, so there are impostor pairs only, "
            "and two photographs of one person would raise the thresholds."
        )
    elif not genuine:
        notes.append("Nobody has two photographs, so there are impostor pairs only.")
    elif accuracy is None:
        notes.append(f"Verification accuracy needs {FOLDS} people with two photographs each.")
    return tuple(notes)


class Cosines:
    """Matrix of cosines of reconstructions to photographs, computed by rows; NaN where both show one person.

    Args:
        results: Unit-length descriptors ``(N, D)`` of the reconstructions.
        photographs: Unit-length descriptors ``(M, D)``.
        whose: The person in each reconstruction's target ``(N,)``.
        people: The person in each photograph ``(M,)``.
    """

    def __init__(self, results: Tensor, photographs: Tensor, whose: Tensor, people: Tensor) -> None:
        self._results, self._photographs = results, photographs
        self._whose, self._people = whose, people

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, M)``."""
        return len(self._results), len(self._photographs)

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return some rows, ``(n, M)``."""
        cosines = self._results[rows] @ self._photographs.T
        return cosines.masked_fill_(self._whose[rows, None] == self._people[None, :], torch.nan)


def cosines_of_pairs(left: Tensor, right: Tensor) -> Tensor:
    """Return the cosine of each row of ``left`` ``(N, D)`` with the same row of ``right``, ``(N,)``."""
    return (nn.functional.normalize(left) * nn.functional.normalize(right)).sum(1)


def identity_scores(
    role: str, encoder: str, results: Tensor, gallery: Gallery, thresholds: tuple[Threshold, ...] = ()
) -> IdentityScores:
    """Return the cosines of reconstructions to the photographs of a gallery.

    Args:
        role: The encoder's role: ``"attacked"``, ``"critic"`` or ``"critic:<name>"``.
        encoder: The encoder's name.
        results: Descriptors ``(N, D)`` of the reconstructions; the gallery's first ``N`` photographs are their
            targets.
        gallery: Targets, and further photographs of their people.
        thresholds: The encoder's thresholds.
    """
    n = len(results)
    unit, photographs = nn.functional.normalize(results), nn.functional.normalize(gallery.descriptors[encoder])
    people = torch.tensor(gallery.people)
    others = _other_photographs(gallery, n)
    to_others = torch.full((n, max((len(row) for row in others), default=0)), torch.nan)
    for row, places in enumerate(others):
        to_others[row, : len(places)] = photographs[places] @ unit[row]
    first = {person: row for row, person in reversed(list(enumerate(gallery.people[:n])))}
    leaked = [first[person] for person in sorted(first)]
    enrolled = [others[row][0] if others[row] else row for row in leaked]

    def to(places: list[int] | slice) -> Cosines:
        return Cosines(unit, photographs[places], people[:n], people[places])

    return IdentityScores(
        role=role,
        encoder=encoder,
        leaked=cosines_of_pairs(results, gallery.descriptors[encoder][:n]),
        others=to_others,
        strangers=to(slice(n)),
        gallery_leaked=to(leaked),
        gallery_other=to(enrolled),
        thresholds=thresholds,
    )


def _other_photographs(gallery: Gallery, n: int) -> list[list[int]]:
    """Return the rows of the other photographs of each target's person that did not leak, in the data set's order."""
    leaked = gallery.leaked or (frozenset[int](),) * n
    of_person: dict[int, list[int]] = {}
    for row in sorted(range(len(gallery)), key=gallery.places.__getitem__):
        of_person.setdefault(gallery.people[row], []).append(row)
    return [
        [
            row
            for row in of_person[gallery.people[target]]
            if row != target and gallery.places[row] not in leaked[target]
        ]
        for target in range(n)
    ]


def _distribution(scores: Scores) -> dict[str, Any] | None:
    if not len(scores):
        return None
    counts, _ = np.histogram(scores.clip(-1, 1), bins=BINS, range=(-1, 1))
    return {
        "n": len(scores),
        "mean": float(scores.mean()),
        "std": float(scores.std(ddof=1)) if len(scores) > 1 else None,
        "histogram": counts.tolist(),
    }
