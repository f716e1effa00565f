"""Checks of a method: descriptors in, reconstructions out, with no more than it declared."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.registry import load_target
from faceinv.testing.chain import chain
from faceinv.testing.conformance import NotApplicable, check, require
from faceinv.testing.network_checks import difference
from faceinv.testing.spy import Watched, watch
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched


def _run(subject: Subject, **how: object) -> Watched:
    """Run the method anew; the run that most checks look at is shared."""
    if how:
        return watch(subject.build(), subject.spec.access, **how)  # type: ignore[arg-type]
    return subject.once("run", lambda: watch(subject.build(), subject.spec.access))


def _distance(images: Tensor, descriptors: Tensor) -> Tensor:
    with torch.no_grad():
        return (chain().encode(images) - descriptors).square().sum(1)


@check("method", mend="Return an Inversion with one latent, image and start for each descriptor of the task.")
def returns_reconstructions(subject: Subject) -> None:
    """Three descriptors give three latents, three images in [0, 1] and three starts, all finite."""
    result = _run(subject).result
    image = (3, 3, *chain().framing.size)
    for name, made, due in (
        ("latents", result.latents, (3, *chain().generator.latent_shape("z"))),
        ("images", result.images, image),
        ("start", result.start, image),
    ):
        require(tuple(made.shape) == due, f"{subject} returns {name} {tuple(made.shape)}, due is {due}.")
        require(torch.isfinite(made).all(), f"{subject} returns {name} that are not finite.")
        require(not made.requires_grad, f"{subject} returns {name} that still hold a graph; detach them.")
    low, high = float(result.images.min()), float(result.images.max())
    require(low >= 0 and high <= 1, f"{subject} returns pixels from {low:.3g} to {high:.3g}.")


@check("method", mend="Use the task alone. Whoever holds a descriptor does not hold the photograph.")
def never_sees_the_target_image(subject: Subject) -> None:
    """No operation of the method takes the target's image, which a spy keeps in the frame that calls it."""
    touched = _run(subject).touched
    require(not touched, f"{subject} touches the target's image ({', '.join(sorted(set(touched))[:3])}).")


@check("method", mend="Call task.encode alone; declare access='white-box' if gradients through it are needed.")
def access_as_declared(subject: Subject) -> None:
    """With 'scores' it takes no gradient through the encoder; the access is one of the two."""
    require(subject.spec.access in ("white-box", "scores"), f"{subject} declares the access '{subject.spec.access}'.")
    watched = _run(subject)
    if subject.spec.access == "scores":
        require(not watched.backward, f"{subject} declares access to scores, and takes gradients through the encoder.")


@check("method", mend="Ask the encoder through task.encode, at most in proportion to task.steps, and not for no steps.")
def respects_its_query_budget(subject: Subject) -> None:
    """Every query is counted, twice the steps take at most twice the queries, and no steps hardly any."""
    none, half, whole = (_run(subject, steps=steps) for steps in (0, 6, 12))
    for watched in (none, half, whole):
        counted = watched.result.queries * len(watched.descriptors)
        require(watched.asked == counted, f"{subject} asks about {watched.asked} images; {counted} were counted.")
    q0, q6, q12 = (watched.result.queries for watched in (none, half, whole))
    require(q0 <= 1, f"{subject} takes {q0} queries for 0 steps.")
    require(q12 <= 2 * q6 + 1, f"{subject} takes {q6} queries for 6 steps and {q12} for 12.")


@check("method", mend="Call task.on_step() once after each step, so that progress can be shown.")
def tells_its_steps(subject: Subject) -> None:
    """It tells each step once, and its trajectory has a value for each step and target, 'total' among them."""
    watched, steps = _run(subject), 12 if subject.spec.optimises else 0
    require(watched.steps_told == 3 * steps, f"{subject} tells {watched.steps_told} image-steps, due are {3 * steps}.")
    for name, series in watched.result.trajectory.items():
        shape = tuple(series.shape)
        require(shape == (steps, 3), f"{subject}: the trajectory of '{name}' is {shape}, due is {(steps, 3)}.")
    if subject.spec.optimises:
        require("total" in watched.result.trajectory, f"{subject}: its trajectory has no 'total'.")


@check("method", mend="Seed a torch.Generator with task.seeds[i] for target i; use no global random numbers.")
def same_seed_same_result(subject: Subject) -> None:
    """The same seeds give the same result, and random states and torch's settings stay as they were."""
    first = _run(subject).result
    with untouched(str(subject)):
        again = _run(subject, steps=12).result
    off = difference(again.images, first.images)
    require(off < 1e-6, f"{subject}: run again with the same seeds, the images differ by {off:.2g}.")


@check("method", mend="Let each target use its own seed and its own optimiser state; take no mean over the batch.")
def batch_mates_do_not_matter(subject: Subject) -> None:
    """A target gets the same reconstruction alone, in a batch, and in another batch size."""
    whole = _run(subject).result.images
    for how in ({"rows": slice(1, 2)}, {"batch_size": 2}):
        rows = how.get("rows", slice(0, 3))
        off = difference(_run(subject, **how).result.images, whole[rows])
        require(off < 0.02, f"{subject}: with other targets beside it an image differs by {off:.2g}.")


@check("method", mend="Descend: look at the sign of the step, its size, and whether the result is what was found best.")
def better_than_its_start(subject: Subject) -> None:
    """After 60 steps reconstructions are nearer to their descriptors than typical faces and than their starts."""
    watched = _run(subject, steps=60)
    end, begin = (_distance(images, watched.descriptors) for images in (watched.result.images, watched.result.start))
    with torch.no_grad():
        typical = chain().sample(64, 41).descriptors
    chance = torch.cdist(watched.descriptors, typical).square().mean(1)
    require(bool((end < chance).all()), f"{subject}: the results are no nearer to the descriptors than any face is.")
    if subject.spec.optimises:
        require(bool((end <= 1.0001 * begin).all()), f"{subject}: a result is farther off than its start.")
        require(float(end.mean()) < float(begin.mean()), f"{subject}: the results are where they started.")


@check("method", mend="Optimise a copy of the start, never the generator; leave the task's tensors alone.")
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


@check("method", mend="Give the factory a keyword argument for each option that the spec names.")
def preset_options_are_taken(subject: Subject) -> None:
    """The method can be built with the options of every objective preset."""
    if not subject.spec.preset_options:
        raise NotApplicable("no preset changes its options")
    for options in subject.spec.preset_options.values():
        load_target(subject.spec)(**{**subject.spec.options, **options})
