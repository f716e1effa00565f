"""Checks of protocols: metrics that score all reconstructions of a cell together."""

from __future__ import annotations

import json

import torch

from faceinv.contracts.protocols import IdentityScores, ProtocolScores, Threshold
from faceinv.testing.checks import NotApplicable, check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

_ROLES = ("attacked", "critic", "critic:other")


def _roles(leaked: float, others: int = 2) -> list[IdentityScores]:
    """Return the scores of three encoders for four reconstructions of three people.

    Args:
        leaked: Cosine of each reconstruction to its target.
        others: Number of other photographs of the first person; the second has one less, the last none.
    """
    nan = torch.nan
    other = torch.full((4, others), leaked - 0.05)
    other[1, 1:] = other[2:] = nan
    gallery = torch.tensor([[nan, 0.1, 0.2], [nan, 0.3, 0.1], [0.2, nan, 0.6], [0.1, 0.2, nan]])
    strangers = torch.tensor([[nan, nan, 0.1, 0.2], [nan, nan, 0.3, 0.1], [0.2, 0.2, nan, 0.6], [0.1, 0.1, 0.2, nan]])
    thresholds = (
        Threshold(1e-2, 0.65, 40, 4000, 100, 0.9, None, None),
        Threshold(1e-4, None, None, 4000, 10_000, None, "too few pairs", None),
    )
    return [
        IdentityScores(role, f"toy.{role}", torch.full((4,), leaked), other, strangers, gallery, gallery, thresholds)
        for role in _ROLES
    ]


def _found(subject: Subject, roles: list[IdentityScores]) -> ProtocolScores:
    if not subject.spec.protocol:
        raise NotApplicable("it scores each pair by itself")
    found: ProtocolScores = subject.built(roles)
    return found


def _shares(found: ProtocolScores) -> list[float]:
    """Return the shares in the rows; a row without one has a reason."""
    return [float(row["share"]) for row in found.rows if row.get("share") is not None]


@check("metric", fix="Return faceinv.contracts.ProtocolScores: columns of N values, rows that name role and encoder.")
def protocol_scores_every_role(subject: Subject) -> None:
    """A protocol returns columns under its own name, one value per target, and JSON rows for each encoder."""
    found = _found(subject, _roles(0.9))
    for name, values in found.columns.items():
        require(name.startswith(subject.name), f"{subject} returns a column '{name}', not '{subject.name}…'.")
        require(tuple(values.shape) == (4,), f"{subject}: column '{name}' has {tuple(values.shape)} for four targets.")
    for row in found.rows:
        require({"role", "encoder"} <= set(row), f"{subject}: a row lacks 'role' or 'encoder': {row}.")
        json.dumps(row, allow_nan=False)
    listed = {row["role"] for row in found.rows}
    require(listed == set(_ROLES), f"{subject} returns rows for {', '.join(sorted(listed))} only.")


@check("metric", fix="Return a share between the declared bounds in at least one row, also where K is 0.")
def protocol_shares_in_bounds(subject: Subject) -> None:
    """Rows contain shares, and every share is within the bounds, with and without other photographs."""
    low, high = subject.spec.bounds
    for others in (2, 0):
        shares = _shares(_found(subject, _roles(0.9, others)))
        require(shares, f"{subject} returns no row with a share.")
        inside = (low is None or min(shares) >= low) and (high is None or max(shares) <= high)
        require(inside, f"{subject} returns shares from {min(shares):.3g} to {max(shares):.3g}, outside its bounds.")


@check("metric", fix="Count a reconstruction as the person if its cosine is at or above the threshold.")
def protocol_rewards_the_person(subject: Subject) -> None:
    """Reconstructions that every encoder accepts as the person score better than those that none accepts."""
    sign = 1 if subject.spec.higher_is_better else -1
    alike, strange = (sign * sum(_shares(_found(subject, _roles(cosine)))) for cosine in (0.9, -0.2))
    require(alike > strange, f"{subject}: perfect reconstructions score no better than strangers.")


@check("metric", fix="Compute from the arguments only, and do not change them.")
def protocol_is_pure(subject: Subject) -> None:
    """A second call returns the same, and leaves the arguments, random states and torch's settings alone."""
    roles = _roles(0.9)
    with untouched(str(subject)):
        first = _found(subject, roles)
    require(repr(first) == repr(_found(subject, roles)), f"{subject} returns something else the second time.")
    same = all(repr(given) == repr(fresh) for given, fresh in zip(roles, _roles(0.9), strict=True))
    require(same, f"{subject} modifies the scores that it is given.")
