"""Checks of a protocol: a metric that scores all reconstructions of a cell together."""

from __future__ import annotations

import torch

from faceinv.contracts.protocols import IdentityScores, ProtocolScores, Threshold
from faceinv.testing.checks import NotApplicable, check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

_N = 6


def _threshold(fmr: float, value: float | None) -> Threshold:
    reason = "" if value is not None else "too few pairs"
    return Threshold(fmr, value, 30, 30_000, round(1 / fmr), 0.9, reason, "")


def _roles(leaked: float, others: int = 2) -> list[IdentityScores]:
    """Return what two encoders say of six reconstructions whose cosine to their target is ``leaked``."""
    rng = torch.Generator().manual_seed(0)
    strangers = 0.2 * torch.rand(_N, _N, generator=rng)
    strangers.fill_diagonal_(torch.nan)
    other = torch.full((_N, others), leaked - 0.05)
    return [
        IdentityScores(
            role, f"toy.{role}", torch.full((_N,), leaked), other, strangers, strangers.clone(), strangers.clone(),
            (_threshold(1e-2, 0.5), _threshold(1e-4, None)),
        )
        for role in ("attacked", "critic")
    ]  # fmt: skip


def _found(subject: Subject, roles: list[IdentityScores]) -> ProtocolScores:
    if not subject.spec.protocol:
        raise NotApplicable("it scores each pair by itself")
    found: ProtocolScores = subject.built(roles)
    return found


def _shares(found: ProtocolScores) -> list[float]:
    """Return what the rows give as shares; a row without one has a reason."""
    return [float(row["share"]) for row in found.rows if row.get("share") is not None]


@check("metric", mend="Return ProtocolScores: a column with a value for each target, and rows with a share each.")
def protocol_scores_every_target(subject: Subject) -> None:
    """Every column has a value for each target and every share is within the bounds, without other photographs too."""
    low, high = subject.spec.bounds
    for others in (2, 0):
        found = _found(subject, _roles(0.9, others))
        for name, column in found.columns.items():
            require(tuple(column.shape) == (_N,), f"{subject}: the column '{name}' is {tuple(column.shape)}.")
        shares = _shares(found)
        require(shares, f"{subject} finds no row with a share.")
        inside = (low is None or min(shares) >= low) and (high is None or max(shares) <= high)
        require(inside, f"{subject} gives shares from {min(shares):.3g} to {max(shares):.3g}, outside its bounds.")


@check("metric", mend="Count a reconstruction as the person when its cosine is at or above the threshold.")
def protocol_rewards_the_person(subject: Subject) -> None:
    """Reconstructions that every encoder takes for the person score better than ones that none does."""
    sign = 1 if subject.spec.higher_is_better else -1
    alike, strange = (sign * sum(_shares(_found(subject, _roles(cosine)))) for cosine in (0.9, -0.2))
    require(alike > strange, f"{subject}: perfect reconstructions score no better than strangers.")


@check("metric", mend="Compute from what is given alone, and change none of it.")
def protocol_is_pure(subject: Subject) -> None:
    """Asked twice it finds the same, and leaves what it is given, random states and torch's settings alone."""
    roles = _roles(0.9)
    with untouched(str(subject)):
        first = _found(subject, roles)
    require(repr(first) == repr(_found(subject, roles)), f"{subject} finds something else the second time.")
    same = all(repr(given) == repr(fresh) for given, fresh in zip(roles, _roles(0.9), strict=True))
    require(same, f"{subject} writes into the scores that it is given.")
