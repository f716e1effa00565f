"""Checks of face detectors."""

from __future__ import annotations

import torch

from faceinv.contracts.networks import Faces
from faceinv.errors import InputError
from faceinv.testing.checks import CheckFailed, check, require
from faceinv.testing.faces import FRAME, draw_faces
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _scene() -> torch.Tensor:
    """Return an image ``(3, 160, 240)`` with a large and a small face."""
    big, small = draw_faces(2, FRAME, seed=3)
    scene: torch.Tensor = big[:, :1, :1].expand(3, 160, 240).clone()
    scene[:, 10:138, 8:136] = torch.nn.functional.interpolate(big[None], (128, 128), mode="bicubic")[0].clamp(0, 1)
    scene[:, 60:124, 160:224] = small
    return scene


@check("detector", fix="Return Faces(boxes (n, 4), points (n, 5, 2), scores (n,)), most prominent face first.")
def faces_as_declared(subject: Subject) -> None:
    """The result is a Faces whose parts agree in number, with finite coordinates and scores from 0 to 1."""
    for image in (_scene(), torch.rand(3, 90, 70, generator=torch.Generator().manual_seed(0))):
        found = subject.built(image)
        require(isinstance(found, Faces), f"{subject} returns a {type(found).__name__}.")
        n, shapes = len(found), (tuple(found.boxes.shape), tuple(found.points.shape), tuple(found.scores.shape))
        require(shapes == ((n, 4), (n, 5, 2), (n,)), f"{subject} returns boxes, points and scores of {shapes}.")
        for name in ("boxes", "points", "scores"):
            require(torch.isfinite(getattr(found, name)).all(), f"{subject} returns {name} that are not finite.")
        low, high = (float(found.scores.min()), float(found.scores.max())) if n else (0.0, 1.0)
        require(low >= 0 and high <= 1, f"{subject} returns scores from {low:.3g} to {high:.3g}.")


@check(
    "detector",
    fix="Order each box as left, top, right, bottom, and the points as in a framing: eyes, nose, mouth corners.",
)
def points_lie_in_their_boxes(subject: Subject) -> None:
    """The corners of boxes are in order, and the mean of a face's points lies within its box."""
    found = subject.built(_scene())
    for box, points in zip(found.boxes, found.points, strict=True):
        require(bool((box[2:] > box[:2]).all()), f"{subject} returns an empty box {box.tolist()}.")
        middle = points.mean(0)
        inside = bool((middle >= box[:2]).all() and (middle <= box[2:]).all())
        require(inside, f"{subject}: the mean {middle.tolist()} of a face's points is not within its box.")
        require(bool(points[0, 0] < points[1, 0]), f"{subject}: the first point is not the eye on the image's left.")


@check("detector", fix="Return no face if all scores are low, as empty tensors of the right shape.")
def nothing_in_an_empty_image(subject: Subject) -> None:
    """It finds nothing in black and in white images; it may refuse a very small image with InputError."""
    for name, image in (
        ("black", torch.zeros(3, 80, 80)),
        ("white", torch.ones(3, 80, 80)),
        ("tiny", torch.full((3, 5, 7), 0.5)),
    ):
        try:
            found = subject.built(image)
        except InputError as error:
            require(name == "tiny", f"{subject} refuses a {name} image: {error}")
            continue
        except Exception as error:
            raise CheckFailed(f"{subject} fails on a {name} image: {type(error).__name__}: {error}") from error
        require(len(found) == 0, f"{subject} finds {len(found)} faces in a {name} image.")


@check("detector", fix="Draw nothing at random, and work on a copy of the image.")
def running_touches_no_global_state(subject: Subject) -> None:
    """The same image gives the same faces; the image, random states and torch's settings are not changed."""
    image = _scene()
    with untouched(str(subject)):
        first = subject.built(image)
    require(torch.equal(image, _scene()), f"{subject} modifies the image.")
    again = subject.built(image)
    same = len(first) == len(again) and torch.equal(first.boxes, again.boxes)
    require(same, f"{subject} finds other faces in the same image.")
