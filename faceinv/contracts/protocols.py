"""The contract of protocols: scores of a whole cell, made of what encoders say about identity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


class Rows(Protocol):
    """A matrix that is made as it is asked for, some rows at a time: ``N × N`` of it need not fit into memory.

    A tensor is one, too.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and columns."""
        ...

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Return the rows of a slice, all columns."""
        ...


#: Rows of a matrix of cosines held at a time.
BLOCK = 256


def blocks(n: int) -> Iterator[slice]:
    """Yield slices that cover ``n`` rows, :data:`BLOCK` at a time."""
    return (slice(first, min(first + BLOCK, n)) for first in range(0, n, BLOCK))


@dataclass(frozen=True)
class IdentityScores:
    """What one encoder says of all ``N`` reconstructions of a cell: cosines to photographs.

    The three matrices are large: take them by :func:`blocks` of rows.

    Args:
        role: ``"attacked"``, ``"critic"`` or ``"critic:<name>"``.
        encoder: The encoder's name.
        leaked: ``(N,)`` to the target.
        others: ``(N, K)`` to other photographs of the person in the order of the data set, NaN where there are
            fewer; ``K`` may be 0.
        strangers: ``(N, N)`` to every target of another person, NaN where it is the same.
        gallery_leaked: ``(N, P)`` to one leaked photograph of each person, NaN for the person itself.
        gallery_other: ``(N, P)`` to one other photograph of each person, or the leaked one where there is no
            other; NaN for the person itself.
        thresholds: The encoder's thresholds, one for each false match rate.
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
    """What a protocol found.

    Args:
        columns: A value for each target, by column; NaN where there is none.
        rows: Shares with their intervals, as the record keeps them.
    """

    columns: Mapping[str, Tensor]
    rows: Sequence[Mapping[str, Any]]


class IdentityProtocol(Protocol):
    """A score of all reconstructions of a cell together, such as the share that a system accepts."""

    def __call__(self, roles: Sequence[IdentityScores]) -> ProtocolScores:
        """Return values per target and rows for the record, from the scores of every encoder."""
        ...


@dataclass(frozen=True)
class Threshold:
    """Where a system that wants a false match rate would put its threshold.

    Args:
        fmr: The false match rate that was asked for.
        threshold: The lowest impostor score from which at most that share is accepted; ``None`` where there
            are too few pairs to see one false match.
        false_matches: Impostor pairs that it accepts.
        impostor_pairs: Impostor pairs it was measured on.
        needed_pairs: How many it takes at least: ``1 / fmr``.
        tmr: Share of genuine pairs that it accepts; ``None`` where there are none.
        reason: Why there is no threshold.
        note: What to know about one that there is.
    """

    fmr: float
    threshold: float | None
    false_matches: int | None
    impostor_pairs: int
    needed_pairs: int
    tmr: float | None
    reason: str | None
    note: str | None
