"""The protocol interface: scores of a whole cell, computed from encoders' identity scores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


class Rows(Protocol):
    """A matrix computed on demand, some rows at a time, so that ``N × N`` numbers need not fit into memory.

    A tensor is one as well.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows and columns."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return the rows of a slice, with all columns."""
        ...


#: Rows of a matrix of cosines held at a time.
BLOCK = 256


def blocks(n: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows, :data:`BLOCK` at a time."""
    return (slice(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK))


@dataclass(frozen=True)
class IdentityScores:
    """Cosine similarities of all ``N`` reconstructions of a cell to photographs, on one encoder.

    The three matrices are large: read them in :func:`blocks` of rows.

    Args:
        role: ``"attacked"``, ``"critic"`` or ``"critic:<name>"``.
        encoder: The encoder's name.
        leaked: ``(N,)``: to the target.
        others: ``(N, K)``: to other photographs of the person in the order of the data set, NaN if there are
            fewer; ``K`` may be 0.
        strangers: ``(N, N)``: to every target, NaN if it shows the same person.
        gallery_leaked: ``(N, P)``: to one leaked photograph of each person, NaN for the same person.
        gallery_other: ``(N, P)``: to one other photograph of each person, or the leaked one if there is no
            other; NaN for the same person.
        thresholds: The encoder's thresholds, one per false match rate.
    """

    role: str
    encoder: str
    leaked: Tensor
    others: Tensor
    strangers: Rows
    gallery_leaked: Rows
    gallery_other: Rows
    thresholds: Sequence[Threshold] = ()


@dataclass(frozen=True)
class ProtocolScores:
    """The result of a protocol.

    Args:
        columns: Column name to one value per target; NaN if there is none.
        rows: Shares with their intervals, as stored in the record.
    """

    columns: Mapping[str, Tensor]
    rows: Sequence[Mapping[str, Any]]


class IdentityProtocol(Protocol):
    """A score of all reconstructions of a cell together, such as the share that a system accepts."""

    def __call__(self, roles: Sequence[IdentityScores]) -> ProtocolScores:
        """Return values per target and rows for the record, given the scores of every encoder."""
        ...


@dataclass(frozen=True)
class Threshold:
    """The threshold of a system for a given false match rate.

    Args:
        fmr: The requested false match rate.
        threshold: The lowest impostor score from which at most that share is accepted; ``None`` if there are
            too few pairs to observe one false match.
        false_matches: Number of impostor pairs that it accepts.
        impostor_pairs: Number of impostor pairs that it was measured on.
        needed_pairs: Minimum number of impostor pairs: ``1 / fmr``.
        tmr: True match rate: the share of genuine pairs that it accepts; ``None`` if there are none.
        reason: Why there is no threshold.
        note: A caveat about the threshold.
    """

    fmr: float
    threshold: float | None
    false_matches: int | None
    impostor_pairs: int
    needed_pairs: int
    tmr: float | None
    reason: str | None
    note: str | None
