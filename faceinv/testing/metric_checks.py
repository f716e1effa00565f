"""Checks of metrics: direction, bounds, and that pairs are scored one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.framing import warp_between
from faceinv.testing.checks import NotApplicable, check, require
from faceinv.testing.faces import FRAME, draw_faces
from faceinv.testing.network_checks import difference
from faceinv.testing.subjects import Subject
from faceinv.testing.toy import FRAMING
from faceinv.testing.toy_networks import ToyEncoder
from faceinv.testing.watch import untouched


@dataclass(frozen=True)
class Pairs:
    """Targets and reconstructions; both encoders are toys.

    Args:
        target: ``(B, 3, H, W)``.
        reconstruction: ``(B, 3, H, W)``.
        allowed: The only role that the metric may use.
    """

    target: Tensor
    reconstruction: Tensor
    allowed: str

    def similarity(self, role: str) -> Tensor:
        """Return the cosine similarity of each pair ``(B,)`` on a toy encoder in this role."""
        require(role == self.allowed, f"It uses the encoder '{role}', but its spec declares '{self.allowed}'.")
        encoder = ToyEncoder(seed=1 if role == "attacked" else 2)
        warp = warp_between(FRAME, FRAMING)
        with torch.no_grad():
            a, b = (encoder(warp(images.float())) for images in (self.target, self.reconstruction))
            return torch.cosine_similarity(a, b)


def _pairs(subject: Subject, noise: float, rows: slice = slice(None)) -> Pairs:
    """Return six faces and disturbed copies: equal for ``noise`` 0, mostly different faces for 1."""
    faces = draw_faces(6)
    strange = draw_faces(6, seed=1)
    rng = torch.Generator().manual_seed(0)
    disturbed = (faces + noise * (strange - faces) + noise * 0.2 * torch.randn(faces.shape, generator=rng)).clamp(0, 1)
    return Pairs(faces[rows], disturbed[rows], subject.spec.encoder)


def _values(subject: Subject, noise: float, rows: slice = slice(None)) -> Tensor:
    _scores_pairs(subject)
    with torch.no_grad():
        values: Tensor = subject.built(_pairs(subject, noise, rows))
    return values


def _scores_pairs(subject: Subject) -> None:
    if subject.spec.protocol:
        raise NotApplicable("it is a protocol, which scores all reconstructions together")


@check("metric", fix="Return one number per pair, and guard against divisions by zero.")
def one_number_per_pair(subject: Subject) -> None:
    """Six pairs give six finite numbers, also if the images of each pair are equal."""
    for noise in (0.0, 0.3, 1.0):
        values = _values(subject, noise)
        require(tuple(values.shape) == (6,), f"{subject} returns {tuple(values.shape)} for six pairs; expected (6,).")
        require(torch.isfinite(values).all(), f"{subject} returns numbers that are not finite.")


@check("metric", fix="Set higher_is_better to the direction of the number; compare target with reconstruction.")
def direction_as_declared(subject: Subject) -> None:
    """Equal pairs score best, and the mean gets worse as the reconstructions do."""
    sign = 1 if subject.spec.higher_is_better else -1
    equal, near, far = (sign * _values(subject, noise) for noise in (0.0, 0.15, 0.9))
    require(bool((equal >= near - 1e-6).all()), f"{subject}: an equal pair scores worse than a disturbed one.")
    means = [float(values.mean()) * sign for values in (equal, near, far)]
    listed = ", ".join(f"{mean:.4g}" for mean in means)
    ordered = means[0] * sign > means[1] * sign > means[2] * sign
    require(ordered, f"{subject}: equal, similar and different pairs score {listed}, against the declared direction.")


@check("metric", fix="Set bounds to the lowest and highest value that any pair can have, None if there is none.")
def within_its_bounds(subject: Subject) -> None:
    """No pair scores outside the declared bounds, and an equal pair reaches the best bound."""
    low, high = subject.spec.bounds
    values = torch.cat([_values(subject, noise) for noise in (0.0, 0.15, 0.9)])
    least, most = float(values.min()), float(values.max())
    slack = 1e-5 * max(1.0, abs(least), abs(most))
    require(low is None or least >= low - slack, f"{subject} returns {least:.4g}, below its bound {low}.")
    require(high is None or most <= high + slack, f"{subject} returns {most:.4g}, above its bound {high}.")
    best = high if subject.spec.higher_is_better else low
    if best is not None:
        reached = float(_values(subject, 0.0)[0])
        require(
            abs(reached - best) <= 1e-3 * max(1.0, abs(best)),
            f"{subject} returns {reached:.4g} for equal pairs, not {best}.",
        )


@check("metric", fix="Score each pair by itself: no batch statistics, no state between calls.")
def parts_equal_the_whole(subject: Subject) -> None:
    """Each pair gets the same score in parts, at once and in any order."""
    whole = _values(subject, 0.3)
    parts = torch.cat([_values(subject, 0.3, part) for part in (slice(4, 6), slice(0, 1), slice(1, 4))])
    off = difference(parts, whole[[4, 5, 0, 1, 2, 3]])
    require(off < 1e-4, f"{subject}: scores in parts differ by {off:.2g} of their size.")


@check("metric", fix="Draw nothing at random, set no global flag, and work on copies of the images.")
def running_touches_no_global_state(subject: Subject) -> None:
    """Scoring repeats exactly, and does not change random states, torch's settings or the images."""
    _scores_pairs(subject)
    pairs = _pairs(subject, 0.3)
    with untouched(str(subject)):
        first = subject.built(pairs)
    require(torch.equal(first, subject.built(pairs)), f"{subject} returns other scores for the same pairs.")
    fresh = _pairs(subject, 0.3)
    same = torch.equal(pairs.target, fresh.target) and torch.equal(pairs.reconstruction, fresh.reconstruction)
    require(same, f"{subject} modifies the images.")


@check("metric", fix="Declare floor=True only for a cosine similarity on an encoder ('attacked' or 'critic').")
def floor_needs_an_encoder(subject: Subject) -> None:
    """Only a metric on an encoder declares a floor."""
    if not subject.spec.floor:
        raise NotApplicable("it declares no floor")
    require(subject.spec.encoder, f"{subject} declares a floor, but no encoder.")
