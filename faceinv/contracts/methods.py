"""What crosses the boundary to a method, as types; import them from :mod:`faceinv.contracts`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from faceinv.contracts.networks import Generator


@dataclass(frozen=True)
class Candidate:
    """Candidate images of one step, and their descriptors, computed once and shared by all losses.

    Args:
        latents: ``(B, *latent_shape)``; ``None`` where images are searched that no generator made.
        images: ``(B, 3, H, W)`` in the generator's framing.
        descriptors: ``(B, D)`` on the attacked encoder.
    """

    latents: Tensor | None
    images: Tensor
    descriptors: Tensor


@dataclass
class Inversion:
    """What a method gives back.

    Args:
        latents: ``(B, *latent_shape)``; ``None`` where the images are no generator's.
        images: ``(B, 3, H, W)`` in the generator's framing.
        start: ``(B, 3, H, W)``: the images it started from.
        trajectory: Loss name to ``(n, B)``, a row for each image that the encoder was asked about, in order, and
            no more rows than that; ``"total"`` is the weighted sum. Who keeps the best candidate reports the best
            so far. A target that converged stays at its last value.
        queries: Images that the encoder was asked about, of the target that took most; counted by the host,
            whatever the method says.
        image_steps: How many of them under white-box access, where gradients can be had.
        queries_mean: Images that the encoder was asked about, on average over the targets: less where some converged.
        image_steps_mean: How many of them under white-box access.
    """

    latents: Tensor | None
    images: Tensor
    start: Tensor
    trajectory: dict[str, Tensor] = field(default_factory=dict)
    queries: int = 0
    image_steps: int = 0
    queries_mean: float = 0.0
    image_steps_mean: float = 0.0


class Objective(Protocol):
    """The weighted sum of losses."""

    def prepare(self, descriptors: Tensor) -> Any:
        """Return whatever the target descriptors ``(B, D)`` determine, once per batch."""
        ...

    def __call__(self, candidate: Candidate, prepared: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum ``(B,)`` and each term before weighting, by name."""
        ...


class Encode(Protocol):
    """The attacked encoder under white-box access."""

    def __call__(self, images: Tensor, of: Tensor | None = None) -> Tensor:
        """Return descriptors ``(N, D)``, through which gradients flow.

        One pass back through them is part of the image-step; each further one counts as an image-step again.

        Args:
            images: ``(N, 3, H, W)`` in the generator's framing.
            of: ``(N,)``: the row of the target that each image is a candidate for; without it they are one for
                each target, in order.

        Raises:
            PluginError: the method declares access to scores, or a target's budget is spent.
        """
        ...


class Score(Protocol):
    """The objective's value of candidates: all that a method with access to scores gets of the encoder."""

    def __call__(
        self, of: Tensor, *, latents: Tensor | None = None, images: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the objective of each candidate ``(N,)`` and its terms before weighting; no gradient flows.

        Args:
            of: ``(N,)``: the row of the target that each candidate is for; any number for any target.
            latents: ``(N, *latent_shape)``; rendered a few at a time unless ``images`` are given.
            images: ``(N, 3, H, W)`` in the generator's framing, where no generator makes them or they are there.

        Raises:
            PluginError: a target's budget is spent.
        """
        ...


@dataclass(frozen=True)
class InversionTask:
    """All that a method is given about a batch of targets. The target images are not in it.

    Args:
        descriptors: The leaked descriptors ``(B, D)``.
        generator: The face prior.
        space: Latent space to search.
        encode: Images to descriptors on the attacked encoder, with gradients; white-box access alone.
        score: Candidates to values of the objective, without gradients; under either access.
        objective: What to minimise, given a candidate's descriptors.
        start: The regressor from descriptors ``(B, D)`` to latents, learnt from pairs beforehand.
        steps: The budget of each target: how many images the encoder may be asked about, through ``encode`` and
            ``score`` together. What is rendered and not shown to the encoder costs nothing.
        seeds: One seed per target, so that a result does not depend on the batch around it.
    """

    descriptors: Tensor
    generator: Generator
    space: str
    encode: Encode
    score: Score
    objective: Objective
    start: Callable[[Tensor], Tensor]
    steps: int
    seeds: Sequence[int]


class Method(Protocol):
    """An inversion algorithm."""

    def __call__(self, task: InversionTask) -> Inversion:
        """Return reconstructions of all targets in ``task``."""
        ...


@dataclass(frozen=True)
class Training:
    """What a method that learns is given before it is used. No target is in it.

    Args:
        latents: Of the attack's synthetic pairs, ``(N, *latent_shape)``, on the CPU.
        descriptors: Of the same pairs, ``(N, D)``.
        generator: The face prior, frozen; gradients flow through it.
        space: Latent space.
        encode: The attacked encoder, frozen: images ``(B, 3, H, W)`` to descriptors. It is not counted, and refused
            unless the method declares ``offline="white-box"``, and to everyone once ``prepare`` has returned.
        whiten: Brings descriptors ``(B, D)`` along their principal axes, each to unit variance over the pairs.
        seed: Seed of first weights and order.
        cached: ``cached(settings, make)`` returns the tensors that ``make()`` returned the first time for these
            pairs, this code of the method and these ``settings``.
        progress: Called with (what, done, of).
    """

    latents: Tensor
    descriptors: Tensor
    generator: Generator
    space: str
    encode: Callable[[Tensor], Tensor]
    whiten: Callable[[Tensor], Tensor]
    seed: int
    cached: Callable[[Mapping[str, Any], Callable[[], dict[str, Tensor]]], dict[str, Tensor]]
    progress: Callable[[str, int, int], None]


@runtime_checkable
class LearningMethod(Protocol):
    """A method that learns from the attack's pairs before it meets a target."""

    def __call__(self, task: InversionTask) -> Inversion:
        """Return reconstructions of all targets in ``task``."""
        ...

    def prepare(self, training: Training) -> None:
        """Learn, or read back what was learnt; called once, before any target."""
        ...
