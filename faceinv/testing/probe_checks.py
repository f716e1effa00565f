"""Checks of a probe: how an attribute is labelled, measured, compared, and whether it can be read."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts.probes import Probe
from faceinv.testing.chain import fit, train_and_test
from faceinv.testing.checks import CheckFailed, NotApplicable, check, require
from faceinv.testing.network_checks import TOLERANCE, difference
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _labels(subject: Subject, images: Tensor) -> Tensor:
    with torch.no_grad():
        labels: Tensor = subject.built.label(images)
    return labels.float()


@check("probe", fix="Derive the class from faceinv.contracts.Probe, and set shape to that of one image's attribute.")
def labels_as_declared(subject: Subject) -> None:
    """Labels are finite, (B, *shape), and each image's is its own, whatever is beside it."""
    require(isinstance(subject.built, Probe), f"{subject}: the factory returns a {type(subject.built).__name__}.")
    labels, due = _labels(subject, subject.faces), (2, *subject.built.shape)
    require(tuple(labels.shape) == due, f"{subject} labels two images with {tuple(labels.shape)}, due is {due}.")
    require(torch.isfinite(labels).all(), f"{subject}: labels are not finite.")
    off = difference(_labels(subject, subject.faces[1:2]), labels[1:2])
    require(off < TOLERANCE, f"{subject}: the label of an image alone differs by {off:.2g} from that in a batch.")


@check("probe", fix="Draw nothing at random in label() and measure(), and set no global flag.")
def running_touches_no_global_state(subject: Subject) -> None:
    """Labelling leaves random states, grad mode and thread count as they were, and the images too."""
    images = subject.faces.clone()
    with untouched(f"Labelling with {subject}"):
        labels = subject.built.label(images)
    require(torch.equal(images, subject.faces), f"{subject} writes into the images that it labels.")
    require(
        difference(_labels(subject, images), labels.detach()) < 1e-5, f"{subject} labels the same images differently."
    )


@check("probe", fix="Return one non-negative number for each prediction, 0 where it is the truth.")
def error_is_a_distance(subject: Subject) -> None:
    """The error is (B,), finite, 0 for the truth and more for anything else."""
    labels = _labels(subject, subject.faces)
    right = subject.built.error(labels, labels)
    wrong = torch.cat([subject.built.error(labels.roll(1, 0) + shift, labels) for shift in (0.05, -0.05)])
    require(tuple(right.shape) == (2,), f"{subject}: error() gives {tuple(right.shape)} for two predictions.")
    require(float(right.abs().max()) < 1e-4, f"{subject}: the truth has an error of {float(right.abs().max()):.2g}.")
    require(torch.isfinite(wrong).all() and float(wrong.min()) > 0, f"{subject}: wrong predictions have no error > 0.")


@check("probe", fix="Set measurable=True exactly if measure() is implemented and differentiable.")
def measurable_as_declared(subject: Subject) -> None:
    """A measurable attribute has a finite gradient to every image; one that is not says so."""
    images = subject.faces.clone().requires_grad_()
    if not subject.spec.measurable:
        try:
            subject.built.measure(images)
        except NotImplementedError:
            return
        raise CheckFailed(f"{subject} can be measured and does not declare it: it would make a loss.")
    measured = subject.built.measure(images)
    due = (2, *subject.built.shape)
    require(tuple(measured.shape) == due, f"{subject}: measure() gives {tuple(measured.shape)}, due is {due}.")
    if not measured.requires_grad:
        raise CheckFailed(f"{subject}: what is measured is cut off from the images.")
    weights = torch.randn(measured.shape, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((measured * weights).sum(), images)
    require(torch.isfinite(slope).all(), f"{subject}: the gradient to the images is not finite.")
    require(bool((slope.flatten(1).abs().amax(1) > 0).all()), f"{subject}: the gradient to an image is zero.")


@check("probe", fix="Measure what is labelled, in the same unit and order.")
def measure_agrees_with_label(subject: Subject) -> None:
    """What is measured is nearer to the labels than always guessing their mean is."""
    if not subject.spec.measurable:
        raise NotApplicable("it is not measurable")
    faces = train_and_test()[1].images
    labels = _labels(subject, faces)
    with torch.no_grad():
        own = float(subject.built.error(subject.built.measure(faces), labels).mean())
    guess = float(subject.built.error(labels.mean(0).expand_as(labels), labels).mean())
    require(own < guess, f"{subject}: what is measured is off by {own:.3g}, guessing the mean by {guess:.3g}.")


@check("probe", fix="Look for labels that do not depend on the face, or an error() that does not reward being right.")
def beats_always_guessing(subject: Subject) -> None:
    """Read from descriptors of drawn faces it did not learn from, it beats always guessing the mean beyond chance."""
    train, test = train_and_test()
    known, truth = _labels(subject, train.images), _labels(subject, test.images)
    read = fit(train.descriptors, known.flatten(1))(test.descriptors)
    with torch.no_grad():
        own = subject.built.error(subject.built.constrain(read), truth)
        guess = subject.built.error(known.mean(0).expand_as(truth), truth)
    gain = guess - own
    # Paired on the same faces: three standard errors of the mean difference.
    chance = 3 * float(gain.std()) / len(gain) ** 0.5
    require(
        float(gain.mean()) > chance,
        f"{subject}: read from descriptors it is off by {float(own.mean()):.3g}, "
        f"guessing the mean by {float(guess.mean()):.3g}.",
    )


@check("probe", fix="Let constrain() return (B, *shape), and leave valid attributes as they are.")
def constrain_keeps_what_is_valid(subject: Subject) -> None:
    """A head's raw output becomes (B, *shape), and a true attribute stays what it is."""
    labels = _labels(subject, subject.faces)
    kept = subject.built.constrain(labels.flatten(1))
    require(
        kept.shape == labels.shape, f"{subject}: constrain() gives {tuple(kept.shape)}, due is {tuple(labels.shape)}."
    )
    off = difference(kept, labels)
    require(off < 1e-3, f"{subject}: constrain() changes true attributes by {off:.2g} of their size.")


@check(
    "probe", fix="Let paper_head(dim) map (B, dim) to (B, prod(shape)), or leave it and paper_recipe() out together."
)
def paper_head_fits(subject: Subject) -> None:
    """Where the paper has a head for it, the head takes descriptors and gives the attribute's numbers."""
    try:
        with torch.random.fork_rng(devices=[]):
            head = subject.built.paper_head(12)
    except NotImplementedError:
        raise NotApplicable("the paper has no head for it") from None
    made, due = head(torch.zeros(2, 12)), (2, torch.Size(subject.built.shape).numel())
    require(tuple(made.shape) == due, f"{subject}: the paper's head gives {tuple(made.shape)}, due is {due}.")
    subject.built.paper_recipe()
