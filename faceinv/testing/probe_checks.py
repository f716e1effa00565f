"""Checks of probes: how an attribute is labelled, measured and compared, and whether it can be inferred."""

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
    """Labels are finite, (B, *shape), and do not depend on the other images of the batch."""
    require(isinstance(subject.built, Probe), f"{subject}: the factory returns a {type(subject.built).__name__}.")
    labels, expected = _labels(subject, subject.faces), (2, *subject.built.shape)
    got = tuple(labels.shape)
    require(got == expected, f"{subject} labels two images with {got}; expected {expected}.")
    require(torch.isfinite(labels).all(), f"{subject}: labels are not finite.")
    off = difference(_labels(subject, subject.faces[1:2]), labels[1:2])
    require(off < TOLERANCE, f"{subject}: the label of an image alone differs by {off:.2g} from that in a batch.")


@check("probe", fix="Draw nothing at random in label() and measure(), and set no global flag.")
def running_touches_no_global_state(subject: Subject) -> None:
    """Labelling repeats exactly, and does not change the images, random states, grad mode or thread count."""
    images = subject.faces.clone()
    with untouched(f"Labelling with {subject}"):
        labels = subject.built.label(images)
    require(torch.equal(images, subject.faces), f"{subject} modifies the images that it labels.")
    off = difference(_labels(subject, images), labels.detach())
    require(off < 1e-5, f"{subject} labels the same images differently the second time.")


@check("probe", fix="Return one non-negative number per prediction, 0 if it is correct.")
def error_is_a_distance(subject: Subject) -> None:
    """The error is (B,), finite, 0 for a correct prediction and positive for any other."""
    labels = _labels(subject, subject.faces)
    right = subject.built.error(labels, labels)
    wrong = torch.cat([subject.built.error(labels.roll(1, 0) + shift, labels) for shift in (0.05, -0.05)])
    require(tuple(right.shape) == (2,), f"{subject}: error() gives {tuple(right.shape)} for two predictions.")
    most = float(right.abs().max())
    require(most < 1e-4, f"{subject}: a correct prediction has an error of {most:.2g}.")
    positive = torch.isfinite(wrong).all() and float(wrong.min()) > 0
    require(positive, f"{subject}: a wrong prediction has an error that is not positive.")


@check("probe", fix="Set measurable=True if and only if measure() is implemented and differentiable.")
def measurable_as_declared(subject: Subject) -> None:
    """A measurable attribute has a finite gradient to every image; any other raises NotImplementedError."""
    images = subject.faces.clone().requires_grad_()
    if not subject.spec.measurable:
        try:
            subject.built.measure(images)
        except NotImplementedError:
            return
        raise CheckFailed(f"{subject} can be measured, but does not declare measurable; it could be a loss.")
    measured = subject.built.measure(images)
    expected, got = (2, *subject.built.shape), tuple(measured.shape)
    require(got == expected, f"{subject}: measure() returns {got}; expected {expected}.")
    if not measured.requires_grad:
        raise CheckFailed(f"{subject}: the measured attribute is detached from the images.")
    weights = torch.randn(measured.shape, generator=torch.Generator().manual_seed(0))
    (slope,) = torch.autograd.grad((measured * weights).sum(), images)
    require(torch.isfinite(slope).all(), f"{subject}: the gradient to the images is not finite.")
    require(bool((slope.flatten(1).abs().amax(1) > 0).all()), f"{subject}: the gradient to an image is zero.")


@check("probe", fix="Let measure() return what label() returns, in the same unit and order.")
def measure_agrees_with_label(subject: Subject) -> None:
    """The measured attribute is closer to the labels than their mean is."""
    if not subject.spec.measurable:
        raise NotApplicable("it is not measurable")
    faces = train_and_test()[1].images
    labels = _labels(subject, faces)
    with torch.no_grad():
        own = float(subject.built.error(subject.built.measure(faces), labels).mean())
    guess = float(subject.built.error(labels.mean(0).expand_as(labels), labels).mean())
    require(own < guess, f"{subject}: measuring has an error of {own:.3g}, guessing the mean {guess:.3g}.")


@check(
    "probe",
    fix="Look for labels that do not depend on the face, or an error() that is not lowest for the truth.",
)
def beats_always_guessing(subject: Subject) -> None:
    """Inferred from descriptors of unseen drawn faces, it beats guessing the mean by more than chance."""
    if subject.spec.not_drawn:
        raise NotApplicable("its labels say nothing of drawn faces")
    train, test = train_and_test()
    known, truth = _labels(subject, train.images), _labels(subject, test.images)
    read = fit(train.descriptors, known.flatten(1))(test.descriptors)
    with torch.no_grad():
        own = subject.built.error(subject.built.constrain(read), truth)
        guess = subject.built.error(known.mean(0).expand_as(truth), truth)
    gain = guess - own
    # Paired by face: three standard errors of the mean difference.
    chance = 3 * float(gain.std()) / len(gain) ** 0.5
    require(
        float(gain.mean()) > chance,
        f"{subject}: inferred from descriptors it has an error of {float(own.mean()):.3g}, "
        f"guessing the mean {float(guess.mean()):.3g}.",
    )


@check("probe", fix="Let constrain() return (B, *shape), and return valid attributes unchanged.")
def constrain_keeps_what_is_valid(subject: Subject) -> None:
    """A head's raw output becomes (B, *shape), and a true attribute is not changed."""
    labels = _labels(subject, subject.faces)
    kept = subject.built.constrain(labels.flatten(1))
    got, expected = tuple(kept.shape), tuple(labels.shape)
    require(got == expected, f"{subject}: constrain() returns {got}; expected {expected}.")
    off = difference(kept, labels)
    require(off < 1e-3, f"{subject}: constrain() changes true attributes by {off:.2g} of their size.")


@check("probe", fix="Let paper_head(dim) map (B, dim) to (B, prod(shape)), or implement neither it nor paper_recipe().")
def paper_head_fits(subject: Subject) -> None:
    """The paper's head, if there is one, maps descriptors to as many numbers as the attribute has."""
    try:
        with torch.random.fork_rng(devices=[]):
            head = subject.built.paper_head(12)
    except NotImplementedError:
        raise NotApplicable("the paper has no head for it") from None
    got, expected = tuple(head(torch.zeros(2, 12)).shape), (2, torch.Size(subject.built.shape).numel())
    require(got == expected, f"{subject}: the paper's head returns {got}; expected {expected}.")
    subject.built.paper_recipe()
