"""Checks of losses: one number per candidate, lowest at the target, with a correct gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from faceinv.contracts.methods import Candidate
from faceinv.testing.chain import chain, targets
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.network_checks import TOLERANCE, difference
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _evaluate(subject: Subject, candidate: Candidate, descriptors: Tensor, loss: Any = None) -> Tensor:
    loss = loss or subject.built
    value: Tensor = loss(candidate, loss.prepare(descriptors))
    return value


def _others() -> list[Candidate]:
    """Return pairs of candidates that are not the targets."""
    with torch.no_grad():
        return [chain().sample(2, seed) for seed in range(20, 28)]


def _part(candidate: Candidate, rows: slice) -> Candidate:
    latents = None if candidate.latents is None else candidate.latents[rows]
    return Candidate(latents, candidate.images[rows], candidate.descriptors[rows])


@check("loss", fix="Reduce all dimensions except the batch: one unweighted number per candidate.")
def one_number_per_candidate(subject: Subject) -> None:
    """The loss is (B,), finite, and does not depend on the other candidates of the batch."""
    other = _others()[0]
    values = _evaluate(subject, other, targets().descriptors)
    require(tuple(values.shape) == (2,), f"{subject} returns {tuple(values.shape)} for two candidates; expected (2,).")
    require(torch.isfinite(values).all(), f"{subject} is not finite.")
    alone = _evaluate(subject, _part(other, slice(1, 2)), targets().descriptors[1:])
    off = difference(alone, values[1:])
    require(off < TOLERANCE, f"{subject}: a candidate alone differs by {off:.2g} of its loss from that in a batch.")


@check("loss", fix="Bound it from below (a square, a norm, 1 − cosine), or the search diverges.")
def bounded_below(subject: Subject) -> None:
    """It is never negative, neither near the target nor far from it."""
    for candidate in [targets(), *_others(), _far()]:
        low = float(_evaluate(subject, candidate, targets().descriptors).min())
        require(low >= -1e-6, f"{subject} falls to {low:.3g}; expected at least 0.")


@check("loss", fix="Compare the candidate with the same row of what prepare() returned, and check the sign.")
def least_at_the_target(subject: Subject) -> None:
    """With a reader that makes no error, the target's own image has a lower loss than any other."""
    own = _evaluate(subject, targets(), targets().descriptors)
    for candidate in _others():
        other = _evaluate(subject, candidate, targets().descriptors)
        require(
            bool((own < other).all()),
            f"{subject}: the loss of the target is {float(own.max()):.3g}, of another face {float(other.min()):.3g}.",
        )


@check("loss", fix="Let gradients flow through candidate.images or candidate.descriptors; check a custom backward.")
def gradient_is_right(subject: Subject) -> None:
    """In float64 the gradient to the latents is finite, not zero, and agrees with finite differences."""
    double = chain(torch.float64)
    loss = subject.build(torch.float64)
    prepared = loss.prepare(targets(torch.float64).descriptors)

    def of_latents(latents: Tensor) -> Tensor:
        value: Tensor = loss(double.candidate(latents), prepared)
        return value

    latents = double.generator.sample(2, "z", torch.Generator().manual_seed(20)).double().requires_grad_()
    value = of_latents(latents)
    require(value.dtype == torch.float64, f"{subject} returns {value.dtype} for a float64 candidate.")
    if not value.requires_grad:
        raise CheckFailed(f"{subject} is detached from the candidate.")
    (slope,) = torch.autograd.grad(value.sum(), latents)
    require(
        torch.isfinite(slope).all() and bool((slope.abs().amax(1) > 0).all()),
        f"{subject}: the gradient is zero or not finite.",
    )
    try:
        torch.autograd.gradcheck(of_latents, (latents,), eps=1e-6, atol=1e-5, rtol=1e-3, nondet_tol=1e-9)
    except RuntimeError as error:
        raise CheckFailed(f"{subject}: the gradient is wrong: {str(error).splitlines()[0]}") from error


@check("loss", fix="Let prepare() compute, under no_grad, what depends on the targets only, and keep no state.")
def prepare_is_pure(subject: Subject) -> None:
    """Preparing twice gives the same loss; targets, candidates and global state are not changed."""
    other, descriptors = _others()[0], targets().descriptors.clone()
    image = other.images.clone()
    with untouched(str(subject)):
        first = _evaluate(subject, other, descriptors)
        _evaluate(subject, _part(other, slice(0, 1)), targets().descriptors[1:])
        second = _evaluate(subject, other, descriptors)
    require(torch.equal(first, second), f"{subject} returns another value after it was prepared for other targets.")
    same = torch.equal(descriptors, targets().descriptors) and torch.equal(image, other.images)
    require(same, f"{subject} modifies the targets or the candidate.")


def _far() -> Candidate:
    """Return candidates that no generator produces: noise, with distant descriptors."""
    rng = torch.Generator().manual_seed(1)
    latents = 10 * torch.randn(2, 8, generator=rng)
    return Candidate(
        latents, torch.rand(2, 3, *chain().framing.size, generator=rng), 30 * torch.randn(2, 12, generator=rng)
    )
