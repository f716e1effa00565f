"""Checks of an encoder: images in its own crop to descriptors."""

from __future__ import annotations

import torch

from faceinv.errors import InputError
from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.network_checks import TOLERANCE, apply, difference, reference
from faceinv.testing.subjects import Subject


@check("encoder", fix="Set dim and framing.size to what the network takes and returns; return one tensor (B, dim).")
def size_and_dimension(subject: Subject) -> None:
    """Images of the declared size give float32 descriptors (B, dim)."""
    made = reference(subject)
    due = (2, subject.spec.dim)
    require(tuple(made.shape) == due, f"{subject} returns {tuple(made.shape)} for two images; {due} is declared.")
    require(made.dtype == torch.float32, f"{subject} returns {made.dtype} for float32 images.")


@check("encoder", fix="Guard divisions and square roots: add an epsilon, or use torch.nn.functional.normalize.")
def finite_on_any_image(subject: Subject) -> None:
    """Black, white and noise give finite descriptors."""
    height, width = subject.framing.size
    noise = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
    given = torch.stack([torch.zeros(3, height, width), torch.ones(3, height, width), noise])
    made = apply(subject, subject.built, given)
    for name, row in zip(("black", "white", "noise"), made, strict=True):
        require(torch.isfinite(row).all(), f"{subject}: the descriptor of {name} is not finite.")


@check("encoder", fix="Declare unit_length=True exactly if the system stores descriptors of length 1.")
def length_as_declared(subject: Subject) -> None:
    """Descriptors have length 1 if the spec says so, and only then."""
    lengths = reference(subject).norm(dim=1)
    unit = bool((lengths - 1).abs().max() < 1e-3)
    if subject.spec.unit_length:
        require(unit, f"{subject} declares unit length, but its descriptors have lengths {_listed(lengths)}.")
    else:
        require(not unit, f"{subject} returns descriptors of length 1 and does not declare it.")


@check("encoder", fix="Keep everything in forward() differentiable: no .detach(), no numpy, no rounding, no no_grad.")
def gradient_reaches_the_images(subject: Subject) -> None:
    """The gradient to the images is finite, and not zero in any of them, unless the encoder is black-box."""
    if subject.spec.black_box:
        raise NotApplicable("it declares itself black-box")
    images = subject.faces.clone().requires_grad_()
    made = subject.built(images)
    if not made.requires_grad:
        raise CheckFailed(f"{subject} is cut off from its images; if it has to be, declare black_box=True.")
    weights = torch.randn(made.shape, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((made * weights).sum(), images)
    require(torch.isfinite(slope).all(), f"{subject}: the gradient to the images is not finite.")
    require(bool((slope.flatten(1).abs().amax(1) > 0).all()), f"{subject}: the gradient to an image is zero.")


@check(
    "encoder", fix="Let the network see colour; if it is monochrome by design, mix the channels unequally (0.299, …)."
)
def red_and_blue_differ(subject: Subject) -> None:
    """Swapping red and blue changes the descriptor, so that a wrong colour order cannot go unseen."""
    off = difference(apply(subject, subject.built, subject.faces[:1].flip(1)), reference(subject)[:1])
    require(off > 1e-4, f"{subject} gives the same descriptor with red and blue swapped.")


@check("encoder", fix="Look for a constant output: images scaled twice to [0, 1], a dead layer, wrong weights.")
def tells_faces_apart(subject: Subject) -> None:
    """Different faces give different descriptors."""
    made = reference(subject)
    off = difference(made[0], made[1])
    require(off > 1e-5, f"{subject} gives the same descriptor for different faces.")


@check("encoder", fix="Call faceinv.contracts.check_images(images, size) first in forward().")
def wrong_images_are_refused(subject: Subject) -> None:
    """Images of a wrong rank, number of channels, size or dtype raise faceinv.errors.ShapeError."""
    height, width = subject.framing.size
    wrong = {
        "rank 3": torch.rand(3, height, width),
        "one channel": torch.rand(2, 1, height, width),
        "8-bit": torch.zeros(2, 3, height, width, dtype=torch.uint8),
        "another size": torch.rand(2, 3, height + 8, width + 8),
    }
    for what, given in wrong.items():
        try:
            apply(subject, subject.built, given)
        except InputError:
            continue
        except Exception as error:
            raise CheckFailed(f"{subject}: images of {what} raise {type(error).__name__}, not ShapeError.") from error
        raise CheckFailed(f"{subject} takes images of {what} as if nothing were wrong.")


@check("encoder", fix="Take images in [0, 1] and do the network's own scaling inside; make no use of a batch's range.")
def range_is_not_guessed(subject: Subject) -> None:
    """A dark image in a batch with a bright one is not rescaled: its descriptor is that of the dark image alone."""
    dark = subject.faces[:1] * 0.02
    both = apply(subject, subject.built, torch.cat([dark, torch.ones_like(dark)]))
    off = difference(both[:1], apply(subject, subject.built, dark))
    require(off < TOLERANCE, f"{subject}: a dark image's descriptor depends on the images beside it.")


def _listed(lengths: torch.Tensor) -> str:
    return ", ".join(f"{float(value):.4g}" for value in lengths)
