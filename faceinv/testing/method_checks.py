"""Checks of a method: descriptors in, reconstructions out, with no more than it declared."""

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
    """Run the method anew; the run that most checks look at is shared."""
    if how:
        return watch(subject.build(), subject.spec, **how)  # type: ignore[arg-type]
    return subject.once("run", lambda: watch(subject.build(), subject.spec))


def _distance(images: Tensor, descriptors: Tensor) -> Tensor:
    with torch.no_grad():
        return (chain().encode(images) - descriptors).square().sum(1)


@check(
    "method", fix="Return an Inversion with one image and start for each descriptor, and its latent if there is one."
)
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
    for name, made, due in parts:
        require(tuple(made.shape) == due, f"{subject} returns {name} {tuple(made.shape)}, due is {due}.")
        require(torch.isfinite(made).all(), f"{subject} returns {name} that are not finite.")
        require(not made.requires_grad, f"{subject} returns {name} that still hold a graph; detach them.")
    low, high = float(result.images.min()), float(result.images.max())
    require(low >= 0 and high <= 1, f"{subject} returns pixels from {low:.3g} to {high:.3g}.")


@check("method", fix="Use the task alone. Whoever holds a descriptor does not hold the photograph.")
def never_sees_the_target_image(subject: Subject) -> None:
    """No operation of the method takes the target's image, which a spy keeps in the frame that calls it."""
    touched = _run(subject).touched
    require(not touched, f"{subject} touches the target's image ({', '.join(sorted(set(touched))[:3])}).")


@check("method", fix="With access='scores' call task.score alone; declare access='white-box' if more is needed.")
def access_as_declared(subject: Subject) -> None:
    """With 'scores' it asks for no descriptor and takes no gradient of the encoder; the access is one of the two."""
    require(subject.spec.access in ("white-box", "scores"), f"{subject} declares the access '{subject.spec.access}'.")
    watched = _run(subject)
    if subject.spec.access == "scores":
        require(not watched.backward, f"{subject} declares access to scores, and takes gradients through the encoder.")


@check("method", fix="Declare offline='pairs' for task.start or what is learnt from pairs, 'white-box' for gradients.")
def offline_as_declared(subject: Subject) -> None:
    """What it uses that was learnt from the encoder beforehand it declares, and no more than that."""
    allowed = ("none", "pairs", "white-box")
    require(subject.spec.offline in allowed, f"{subject} declares offline='{subject.spec.offline}', not {allowed}.")
    watched = _run(subject)
    if subject.spec.offline == "white-box":
        require(watched.learnt_from, f"{subject} declares white-box training, and does not ask the encoder in it.")


@check("method", fix="Ask through task.encode and task.score alone, of each target no more often than task.steps.")
def respects_its_query_budget(subject: Subject) -> None:
    """At budgets of 0, 1, 7, 12 and 24 images a target it is never refused, and every query is counted."""
    for steps in (0, 1, 7, 12, 24):
        watched = _run(subject, steps=steps)
        counted = watched.result.queries * len(watched.descriptors)
        require(watched.asked <= counted, f"{subject} asks about {watched.asked} images; {counted} were counted.")
    if subject.spec.optimises:
        require(watched.asked, f"{subject} is steered by the losses, and takes no query for 24 steps.")


@check(
    "method", fix="Return a trajectory with a row for each image that a target's budget went to, 'total' among them."
)
def reports_a_trajectory(subject: Subject) -> None:
    """Its trajectory has at most a row for each query of a target, each with a finite 'total' for every target."""
    result = _run(subject).result
    for name, series in result.trajectory.items():
        shape = tuple(series.shape)
        right = len(shape) == 2 and 0 < shape[0] <= result.queries and shape[1] == 3
        require(right, f"{subject}: the trajectory of '{name}' is {shape} at {result.queries} queries of 3 targets.")
        require(torch.isfinite(series).all(), f"{subject}: the trajectory of '{name}' is not finite.")
    if subject.spec.optimises:
        require("total" in result.trajectory, f"{subject}: its trajectory has no 'total'.")


@check("method", fix="Seed a torch.Generator with task.seeds[i] for target i; use no global random numbers.")
def same_seed_same_result(subject: Subject) -> None:
    """The same seeds give the same result, and random states and torch's settings stay as they were."""
    first = _run(subject).result
    with untouched(str(subject)):
        again = _run(subject, steps=12).result
    off = difference(again.images, first.images)
    require(off < 1e-6, f"{subject}: run again with the same seeds, the images differ by {off:.2g}.")


@check("method", fix="Let each target use its own seed and its own optimiser state; take no mean over the batch.")
def batch_mates_do_not_matter(subject: Subject) -> None:
    """A target gets the same reconstruction alone, in a batch, and in another batch size."""
    whole = _run(subject).result.images
    for how in ({"rows": slice(1, 2)}, {"batch_size": 2}):
        rows = how.get("rows", slice(0, 3))
        off = difference(_run(subject, **how).result.images, whole[rows])
        require(off < 0.02, f"{subject}: with other targets beside it an image differs by {off:.2g}.")


@check("method", fix="Descend: look at the sign of the step, its size, and whether the result is what was found best.")
def better_than_its_start(subject: Subject) -> None:
    """After 60 image-steps or 240 queries it is nearer to its descriptors than typical faces, and than its start."""
    watched = _run(subject, steps=60 if subject.spec.access == "white-box" else 240)
    end, begin = (_distance(images, watched.descriptors) for images in (watched.result.images, watched.result.start))
    with torch.no_grad():
        typical = chain().sample(64, 41).descriptors
    chance = torch.cdist(watched.descriptors, typical).square().mean(1)
    require(bool((end < chance).all()), f"{subject}: the results are no nearer to the descriptors than any face is.")
    if subject.spec.optimises:
        require(bool((end <= 1.0001 * begin).all()), f"{subject}: a result is farther off than its start.")
        require(float(end.mean()) < float(begin.mean()), f"{subject}: the results are where they started.")


@check("method", fix="Optimise a copy of the start, never the generator; leave the task's tensors alone.")
def leaves_the_task_alone(subject: Subject) -> None:
    """Descriptors stay as they were, and the generator keeps its weights and gathers no gradients."""
    generator = chain().generator
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    watched = _run(subject, steps=3)
    with torch.no_grad():
        due = chain().sample(3, 31).descriptors
    require(torch.equal(watched.descriptors, due), f"{subject} writes into the descriptors.")
    changed = [name for name, tensor in generator.state_dict().items() if not torch.equal(tensor, before[name])]
    generator.load_state_dict(before)
    require(not changed, f"{subject} changes the generator: {', '.join(changed[:3])}.")
    asking = [name for name, tensor in generator.named_parameters() if tensor.grad is not None]
    require(not asking, f"{subject} leaves gradients in the generator.")


@check("method", fix="Give the factory a keyword argument for each option that the spec names.")
def preset_options_are_taken(subject: Subject) -> None:
    """The method can be built with the options of every objective preset."""
    if not subject.spec.preset_options:
        raise NotApplicable("no preset changes its options")
    for options in subject.spec.preset_options.values():
        load_target(subject.spec)(**{**subject.spec.options, **options})
