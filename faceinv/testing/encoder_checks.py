"""Checks of encoders."""

from __future__ import annotations

import torch

from faceinv.errors import InputError
from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.network_checks import TOLERANCE, apply, difference, reference
from faceinv.testing.subjects import Subject


@check("encoder", fix="Set dim and framing.size to the network's own, and return one tensor (B, dim).")
def size_and_dimension(subject: Subject) -> None:
    """Images of the declared size give float32 descriptors (B, dim)."""
    made, expected = reference(subject), (2, subject.spec.dim)
    got = tuple(made.shape)
    require(got == expected, f"{subject} returns {got} for two images; expected {expected}.")
    require(made.dtype == torch.float32, f"{subject} returns {made.dtype} for float32 images.")


@check("encoder", fix="Guard divisions and square roots: add an epsilon, or use torch.nn.functional.normalize.")
def finite_on_any_image(subject: Subject) -> None:
    """Black images, white images and noise have finite descriptors."""
    height, width = subject.framing.size
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    given = torch.stack([torch.zeros(3, height, width), torch.ones(3, height, width), noise])
    made = apply(subject, subject.built, given)
    for name, row in zip(("black", "white", "noisy"), made, strict=True):
        require(torch.isfinite(row).all(), f"{subject}: the descriptor of a {name} image is not finite.")


@check("encoder", fix="Declare unit_length=True if and only if the system stores descriptors of length 1.")
def length_as_declared(subject: Subject) -> None:
    """Descriptors have length 1 if and only if the spec declares it."""
    lengths = reference(subject).norm(dim=1)
    unit = bool((lengths - 1).abs().max() < 1e-3)
    if subject.spec.unit_length:
        require(unit, f"{subject} declares unit length, but its descriptors have lengths {_listed(lengths)}.")
    else:
        require(not unit, f"{subject} returns descriptors of length 1, but does not declare unit_length.")


@check("encoder", fix="Keep everything in forward() differentiable: no .detach(), no numpy, no rounding, no no_grad.")
def gradient_reaches_the_images(subject: Subject) -> None:
    """The gradient to every image is finite and not zero, unless the encoder is black-box."""
    if subject.spec.black_box:
        raise NotApplicable("it declares itself black-box")
    images = subject.faces.clone().requires_grad_()
    made = subject.built(images)
    if not made.requires_grad:
        raise CheckFailed(f"{subject}: descriptors are detached from the images; if intended, declare black_box=True.")
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((made * weights).sum(), images)
    require(torch.isfinite(slope).all(), f"{subject}: the gradient to the images is not finite.")
    require(bool((slope.flatten(1).abs().amax(1) > 0).all()), f"{subject}: the gradient to an image is zero.")


@check(
    "encoder",
    fix="Feed colour to the network; if it is monochrome, weight the channels differently (0.299, …).",
)
def red_and_blue_differ(subject: Subject) -> None:
    """Swapping red and blue changes the descriptor, so that a wrong colour order can be noticed."""
    off = difference(apply(subject, subject.built, subject.faces[:1].flip(1)), reference(subject)[:1])
    require(off > 1e-4, f"{subject} gives the same descriptor with red and blue swapped.")


@check(
    "encoder",
    fix="Find out why the output is constant: images scaled twice to [0, 1], a dead layer, wrong weights.",
)
def tells_faces_apart(subject: Subject) -> None:
    """Different faces have different descriptors."""
    made = reference(subject)
    off = difference(made[0], made[1])
    require(off > 1e-5, f"{subject} gives the same descriptor for different faces.")


@check("encoder", fix="Call faceinv.contracts.check_images(images, size) first in forward().")
def wrong_images_are_refused(subject: Subject) -> None:
    """Images of wrong rank, number of channels, size or dtype raise faceinv.errors.ShapeError."""
    height, width = subject.framing.size
    wrong = {
        "rank 3": torch.rand(3, height, width),
        "one channel": torch.rand(2, 1, height, width),
        "8-bit pixels": torch.zeros(2, 3, height, width, dtype=torch.uint8),
        "another size": torch.rand(2, 3, height + 8, width + 8),
    }
    for what, given in wrong.items():
        try:
            apply(subject, subject.built, given)
        except InputError:
            continue
        except Exception as error:
            raise CheckFailed(f"{subject}: images with {what} raise {type(error).__name__}, not ShapeError.") from error
        raise CheckFailed(f"{subject} accepts images with {what}.")


@check("encoder", fix="Take images in [0, 1] and do the network's own scaling inside, whatever the range of a batch.")
def range_is_not_guessed(subject: Subject) -> None:
    """A dark image is not rescaled: next to a bright one it has the same descriptor as alone."""
    dark = subject.faces[:1] * 0.02
    both = apply(subject, subject.built, torch.cat([dark, torch.ones_like(dark)]))
    off = difference(both[:1], apply(subject, subject.built, dark))
    require(off < TOLERANCE, f"{subject}: a dark image's descriptor depends on the other images of the batch.")


def _listed(lengths: torch.Tensor) -> str:
    return ", ".join(f"{float(value):.4g}" for value in lengths)
