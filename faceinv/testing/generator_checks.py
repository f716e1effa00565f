"""Checks of generators."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from faceinv.contracts.networks import Generator
from faceinv.errors import ShapeError, UsageError
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.network_checks import difference
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _sample(subject: Subject, n: int, space: str, seed: int = 0) -> Tensor:
    latents: Tensor = subject.built.sample(n, space, torch.Generator().manual_seed(seed))
    return latents


@check(
    "generator",
    fix="Derive the class from faceinv.contracts.Generator and implement its three methods.",
)
def is_a_generator(subject: Subject) -> None:
    """The factory returns a faceinv.contracts.Generator."""
    require(isinstance(subject.built, Generator), f"{subject}: the factory returns a {type(subject.built).__name__}.")


@check("generator", fix="Scale the network's output to [0, 1] and clamp it; set framing.size to the images' size.")
def images_in_range(subject: Subject) -> None:
    """Every declared space gives finite float32 images (B, 3, H, W) in [0, 1], of the framing's size."""
    expected = (2, 3, *subject.framing.size)
    for space in subject.spec.spaces:
        with torch.no_grad():
            images = subject.built(_sample(subject, 2, space), space)
        got = tuple(images.shape)
        require(got == expected, f"{subject}: space {space} gives {got}; expected {expected}.")
        require(images.dtype == torch.float32, f"{subject}: space {space} gives {images.dtype}.")
        require(torch.isfinite(images).all(), f"{subject}: space {space} gives pixels that are not finite.")
        low, high = float(images.min()), float(images.max())
        require(low >= 0 and high <= 1, f"{subject}: space {space} gives pixels from {low:.3g} to {high:.3g}.")


@check("generator", fix="Return (n, *latent_shape(space)) from sample() for every space that the spec lists.")
def spaces_as_declared(subject: Subject) -> None:
    """Every declared space has a shape, and all samples of it have that shape."""
    for space in subject.spec.spaces:
        shape = tuple(subject.built.latent_shape(space))
        for n in (1, 3):
            got = tuple(_sample(subject, n, space).shape)
            require(got == (n, *shape), f"{subject}: sample({n}, '{space}') gives {got}; expected {(n, *shape)}.")


@check("generator", fix="Draw only with generator=rng, never with torch.randn without a generator.")
def samples_follow_their_seed(subject: Subject) -> None:
    """Samples depend on the state of rng only, differ from one another, and use no global random numbers."""
    for space in subject.spec.spaces:
        with untouched(f"sample() of {subject}"):
            one, same, other = (_sample(subject, 2, space, seed) for seed in (5, 5, 6))
        require(torch.equal(one, same), f"{subject}: space {space} gives other samples for the same seed.")
        require(not torch.equal(one, other), f"{subject}: space {space} gives the same samples for another seed.")
        require(not torch.equal(one[0], one[1]), f"{subject}: two samples of space {space} are the same.")


@check("generator", fix="Keep forward() differentiable in the latents: no rounding, no detach, no saturating clamp.")
def gradient_reaches_every_latent(subject: Subject) -> None:
    """In every space the gradient is finite, and not zero for any latent or row of a latent."""
    for space in subject.spec.spaces:
        latents = _sample(subject, 2, space).requires_grad_()
        images = subject.built(latents, space)
        if not images.requires_grad:
            raise CheckFailed(f"{subject}: images are detached from the latents of space {space}.")
        weights = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        (slope,) = torch.autograd.grad((images * weights).sum(), latents)
        require(torch.isfinite(slope).all(), f"{subject}: the gradient to space {space} is not finite.")
        silent = int((slope.abs().amax(-1) == 0).sum())
        require(silent == 0, f"{subject}: {silent} latents or rows of space {space} have a gradient of zero.")


@check("generator", fix="Look for the cause of a constant output: latents normalised away, dead layers, wrong weights.")
def latents_matter(subject: Subject) -> None:
    """Different latents give different images."""
    for space in subject.spec.spaces:
        with torch.no_grad():
            images = subject.built(_sample(subject, 2, space), space)
        require(difference(images[0], images[1]) > 1e-4, f"{subject}: latents of space {space} do not matter.")


@check(
    "generator",
    fix="Raise faceinv.errors.unknown_name('latent space', …), and ShapeError for latents of a wrong shape.",
)
def wrong_latents_are_refused(subject: Subject) -> None:
    """An undeclared space raises UsageError, and latents of a wrong shape raise ShapeError."""
    space = subject.spec.spaces[0]
    latents = _sample(subject, 2, space)
    cases: dict[str, tuple[type[Exception], Callable[[], object]]] = {
        "the space 'no-such-space'": (UsageError, lambda: subject.built.latent_shape("no-such-space")),
        "samples of 'no-such-space'": (UsageError, lambda: subject.built.sample(1, "no-such-space", torch.Generator())),
        "latents one number too long": (
            ShapeError,
            lambda: subject.built(torch.cat([latents, latents[..., :1]], -1), space),
        ),
    }
    for what, (expected, call) in cases.items():
        try:
            with torch.no_grad():
                call()
        except expected:
            continue
        except Exception as error:
            raise CheckFailed(f"{subject}: {what} raise {type(error).__name__}, not {expected.__name__}.") from error
        raise CheckFailed(f"{subject} accepts {what}.")
