"""Checks of methods: descriptors in, reconstructions out, with no more access than declared."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.plugins.registry import load_target
from faceinv.testing.chain import chain
from faceinv.testing.checks import NotApplicable, check, require
from faceinv.testing.network_checks import difference
from faceinv.testing.spy import Watched, watch
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _run(subject: Subject, **how: object) -> Watched:
    """Run the method; most checks share the default run."""
    if how:
        return watch(subject.build(), subject.spec, **how)  # type: ignore[arg-type]
    return subject.once("run", lambda: watch(subject.build(), subject.spec))


def _distance(images: Tensor, descriptors: Tensor) -> Tensor:
    with torch.no_grad():
        return (chain().encode(images) - descriptors).square().sum(1)


@check("method", fix="Return an Inversion with one image and start per descriptor, and its latent if there is one.")
def returns_reconstructions(subject: Subject) -> None:
    """Three descriptors give three images in [0, 1], three starts, and three latents or none, all finite."""
    result = _run(subject).result
    image = (3, 3, *chain().framing.size)
    parts: list[tuple[str, Tensor, tuple[int, ...]]] = [
        ("images", result.images, image),
        ("start", result.start, image),
    ]
    if result.latents is not None:
        parts.append(("latents", result.latents, (3, *chain().generator.latent_shape("z"))))
    for name, made, expected in parts:
        got = tuple(made.shape)
        require(got == expected, f"{subject} returns {name} of shape {got}; expected {expected}.")
        require(torch.isfinite(made).all(), f"{subject} returns {name} that are not finite.")
        require(not made.requires_grad, f"{subject} returns {name} that require gradients; detach them.")
    low, high = float(result.images.min()), float(result.images.max())
    require(low >= 0 and high <= 1, f"{subject} returns pixels from {low:.3g} to {high:.3g}.")


@check("method", fix="Use only the task. An attacker with a descriptor does not have the photograph.")
def never_sees_the_target_image(subject: Subject) -> None:
    """The method performs no operation on the target's image, which its caller keeps alive as bait."""
    touched = _run(subject).touched
    require(not touched, f"{subject} uses the target's image ({', '.join(sorted(set(touched))[:3])}).")


@check("method", fix="With access='scores' call only task.score; if you need more, declare access='white-box'.")
def access_as_declared(subject: Subject) -> None:
    """The access is 'white-box' or 'scores'; with 'scores' it gets no descriptors and no gradients of the encoder."""
    require(subject.spec.access in ("white-box", "scores"), f"{subject} declares the access '{subject.spec.access}'.")
    watched = _run(subject)
    if subject.spec.access == "scores":
        require(not watched.backward, f"{subject} declares access to scores, but takes gradients through the encoder.")


@check("method", fix="Declare offline='pairs' for task.start or training on pairs, 'white-box' for gradients.")
def offline_as_declared(subject: Subject) -> None:
    """It declares the access to the encoder that it needs beforehand, and no more."""
    allowed = ("none", "pairs", "white-box")
    require(subject.spec.offline in allowed, f"{subject} declares offline='{subject.spec.offline}', not {allowed}.")
    watched = _run(subject)
    if subject.spec.offline == "white-box":
        require(watched.queried_in_training, f"{subject} declares white-box training, but makes no query in it.")


@check("method", fix="Query only through task.encode and task.score, at most task.steps times per target.")
def respects_its_query_budget(subject: Subject) -> None:
    """With budgets of 0, 1, 7, 12 and 24 images per target it stays within the budget, and all queries are counted."""
    for steps in (0, 1, 7, 12, 24):
        watched = _run(subject, steps=steps)
        counted = watched.result.queries * len(watched.descriptors)
        require(watched.queried <= counted, f"{subject} makes {watched.queried} queries; only {counted} were counted.")
    if subject.spec.optimises:
        require(watched.queried, f"{subject} minimises the losses, but makes no query in 24 steps.")


@check("method", fix="Return a trajectory with 'total' and a row per query of a target.")
def reports_a_trajectory(subject: Subject) -> None:
    """Its trajectory has at most one row per query of a target, and a finite 'total' for every target."""
    result = _run(subject).result
    for name, series in result.trajectory.items():
        shape = tuple(series.shape)
        right = len(shape) == 2 and 0 < shape[0] <= result.queries and shape[1] == 3
        require(right, f"{subject}: the trajectory of '{name}' is {shape} for 3 targets and {result.queries} queries.")
        require(torch.isfinite(series).all(), f"{subject}: the trajectory of '{name}' is not finite.")
    if subject.spec.optimises:
        require("total" in result.trajectory, f"{subject}: its trajectory has no 'total'.")


@check("method", fix="Seed a torch.Generator with task.seeds[i] for target i; use no global random numbers.")
def same_seed_same_result(subject: Subject) -> None:
    """The same seeds give the same result; random states and torch's settings are not changed."""
    first = _run(subject).result
    with untouched(str(subject)):
        again = _run(subject, steps=12).result
    off = difference(again.images, first.images)
    require(off < 1e-6, f"{subject}: with the same seeds the images of a second run differ by {off:.2g}.")


@check("method", fix="Give each target its own seed and its own optimiser state; take no mean over the batch.")
def batch_mates_do_not_matter(subject: Subject) -> None:
    """A target has the same reconstruction alone, in a batch, and with another batch size."""
    whole = _run(subject).result.images
    for how in ({"rows": slice(1, 2)}, {"batch_size": 2}):
        rows = how.get("rows", slice(0, 3))
        off = difference(_run(subject, **how).result.images, whole[rows])
        require(off < 0.02, f"{subject}: in a different batch an image differs by {off:.2g}.")


@check("method", fix="Check the sign and size of the step, and return the best candidate.")
def better_than_its_start(subject: Subject) -> None:
    """After 60 image-steps or 240 queries it is closer to the descriptors than random faces and than its start."""
    watched = _run(subject, steps=60 if subject.spec.access == "white-box" else 240)
    end, begin = (_distance(images, watched.descriptors) for images in (watched.result.images, watched.result.start))
    with torch.no_grad():
        random = chain().sample(64, 41).descriptors
    chance = torch.cdist(watched.descriptors, random).square().mean(1)
    require(bool((end < chance).all()), f"{subject}: the results are no closer to the descriptors than random faces.")
    if subject.spec.optimises:
        require(bool((end <= 1.0001 * begin).all()), f"{subject}: a result is farther off than its start.")
        require(float(end.mean()) < float(begin.mean()), f"{subject}: the results are no better than their starts.")


@check("method", fix="Optimise a copy of the start, never the generator, and do not modify the task's tensors.")
def leaves_the_task_alone(subject: Subject) -> None:
    """Descriptors and the generator's weights are not changed, and the generator accumulates no gradients."""
    generator = chain().generator
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    watched = _run(subject, steps=3)
    with torch.no_grad():
        expected = chain().sample(3, 31).descriptors
    require(torch.equal(watched.descriptors, expected), f"{subject} modifies the descriptors.")
    changed = [name for name, tensor in generator.state_dict().items() if not torch.equal(tensor, before[name])]
    generator.load_state_dict(before)
    require(not changed, f"{subject} changes the generator: {', '.join(changed[:3])}.")
    with_gradients = [name for name, tensor in generator.named_parameters() if tensor.grad is not None]
    require(not with_gradients, f"{subject} leaves gradients in the generator.")


@check("method", fix="Give the factory a keyword argument for each option in the spec.")
def preset_options_are_taken(subject: Subject) -> None:
    """The method can be built with the options of every objective preset."""
    if not subject.spec.preset_options:
        raise NotApplicable("no preset changes its options")
    for options in subject.spec.preset_options.values():
        load_target(subject.spec)(**{**subject.spec.options, **options})
