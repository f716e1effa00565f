"""Identification: the person that a system finds for a reconstruction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from faceinv.contracts import IdentityScores, ProtocolScores, blocks
from faceinv.scoring import wilson

#: The k in rank-k.
RANKS = (1, 5, 10)


class Identification:
    """Rank of the correct person in a closed gallery with one photograph of each of the targets' people.

    The gallery ``leaked`` has the photographs that leaked, ``other`` has another photograph of each person if there is
    one. The rank is 1 plus the number of other people who score at least as high, so ties count against the attack.

    Args:
        ranks: The k in rank-k.
    """

    def __init__(self, ranks: Sequence[int] = RANKS, **_: object) -> None:
        self.ranks = tuple(ranks)

    def __call__(self, roles: Sequence[IdentityScores]) -> ProtocolScores:
        """Return a row for each role, gallery and k below its size, and a column of ranks for each role and gallery."""
        columns: dict[str, Tensor] = {}
        rows: list[dict[str, Any]] = []
        for scores in roles:
            another = scores.others[:, 0] if scores.others.shape[1] else torch.full_like(scores.leaked, torch.nan)
            for gallery, right, strangers in (
                ("leaked", scores.leaked, scores.gallery_leaked),
                ("other", another, scores.gallery_other),
            ):
                n = int((~right.isnan()).sum())
                if not n:
                    continue
                better = [(strangers[part] >= right[part, None]).sum(1) for part in blocks(len(right))]
                rank = (1 + torch.cat(better)).double().masked_fill(right.isnan(), torch.nan)
                columns[f"identification_{gallery}:{scores.role}"] = rank
                size = strangers.shape[1]
                # The first k of k people always hold the right one.
                told = [k for k in self.ranks if k < size]
                rows += [_row(scores, gallery, size, k, int((rank <= k).sum()), n) for k in told]
        return ProtocolScores(columns, rows)


def _row(scores: IdentityScores, gallery: str, size: int, k: int, hits: int, n: int) -> dict[str, Any]:
    share = wilson(hits, n)
    return {
        "role": scores.role,
        "encoder": scores.encoder,
        "gallery": gallery,
        "gallery_size": size,
        "rank": k,
        "hits": hits,
        "n": n,
        "share": share.mean,
        "low": share.low,
        "high": share.high,
        "chance": min(1.0, k / size),
    }
