"""Attack success: the share of reconstructions that a system accepts as the person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from faceinv.contracts import IdentityScores, ProtocolScores
from faceinv.scoring import estimate, wilson

if TYPE_CHECKING:
    from faceinv.contracts import Threshold


class AttackSuccess:
    """Share of reconstructions that a system accepts at its thresholds (type I and II of Mai et al. 2019).

    Type I compares a reconstruction with the photograph that leaked, type II with another photograph of the person, as
    needed to enter another system, or the same one after a new enrolment. On a critic it measures how the attack
    transfers. Each target counts once, so that Wilson's interval is valid: type II uses the first other photograph in
    the data set's order, and ``share_all`` uses all of them, with equal weight for each target.
    """

    def __init__(self, **_: object) -> None:
        pass

    def __call__(self, roles: Sequence[IdentityScores]) -> ProtocolScores:
        """Return a row for each role, false match rate and type, and a column of 0 and 1 if there is a threshold.

        Another column has the cosines of type II, so that success at any other threshold can be computed later.
        """
        columns: dict[str, Tensor] = {}
        rows: list[dict[str, Any]] = []
        for scores in roles:
            another = scores.others[:, 0] if scores.others.shape[1] else torch.full_like(scores.leaked, torch.nan)
            if not another.isnan().all():
                columns[f"success_cosine_type2:{scores.role}"] = another
            for threshold in scores.thresholds:
                for kind, cosines in (("I", scores.leaked), ("II", another)):
                    accepted = _accepted(cosines, threshold.threshold)
                    row = _row(scores, threshold, kind, accepted)
                    if kind == "II":
                        row |= _against_all(_accepted(scores.others, threshold.threshold))
                    rows.append(row)
                    if row["n"] and threshold.threshold is not None:
                        columns[f"success_type{len(kind)}@{threshold.fmr:g}:{scores.role}"] = accepted
        return ProtocolScores(columns, rows)


def _accepted(cosines: Tensor, threshold: float | None) -> Tensor:
    """Return 1 at or above the threshold, 0 below it, NaN without a score or a threshold."""
    if threshold is None:
        return torch.full(cosines.shape, torch.nan, dtype=torch.float64)
    return (cosines.double() >= threshold).double().masked_fill(cosines.isnan(), torch.nan)


def _row(scores: IdentityScores, threshold: Threshold, kind: str, accepted: Tensor) -> dict[str, Any]:
    row: dict[str, Any] = {
        "role": scores.role,
        "encoder": scores.encoder,
        "fmr": threshold.fmr,
        "threshold": threshold.threshold,
        "type": kind,
        "accepted": None,
        "n": len(accepted) if kind == "I" else int((~scores.others.isnan()).any(1).sum()),
        "share": None,
        "low": None,
        "high": None,
        "tmr": threshold.tmr,
        "reason": threshold.reason,
    }
    if not row["n"]:
        row["reason"] = "no target has another photograph of the person"
    elif threshold.threshold is not None:
        hits = int(accepted.nansum())
        share = wilson(hits, row["n"])
        row |= {"accepted": hits, "share": share.mean, "low": share.low, "high": share.high}
    return row


def _against_all(accepted: Tensor) -> dict[str, Any]:
    counted = ~accepted.isnan()
    share = estimate(accepted.nanmean(1).numpy()) if counted.any() else None
    return {
        "photographs": int(counted.sum()),
        "share_all": share.mean if share else None,
        "low_all": share.low if share else None,
        "high_all": share.high if share else None,
    }
