"""The inversion method interface, and the types that it takes and returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor

if TYPE_CHECKING:
    from faceinv.contracts.networks import Generator


@dataclass(frozen=True)
class Candidate:
    """The candidate images of one step and their descriptors, computed once and shared by all losses.

    Args:
        latents: ``(B, *latent_shape)``; ``None`` if the images do not come from the generator.
        images: ``(B, 3, H, W)`` in the generator's framing.
        descriptors: ``(B, D)`` on the attacked encoder.
    """

    latents: Tensor | None
    images: Tensor
    descriptors: Tensor


@dataclass
class Inversion:
    """The result of a method.

    The host counts the queries itself and overwrites the four counts.

    Args:
        latents: ``(B, *latent_shape)``; ``None`` if the images do not come from the generator.
        images: ``(B, 3, H, W)`` in the generator's framing.
        start: ``(B, 3, H, W)``: the images that the search started from.
        trajectory: Loss name to ``(n, B)``: at most one row per image that the encoder was queried with, in order.
            ``"total"`` is the weighted sum. A method that returns the best candidate reports the best loss so
            far. A converged target keeps its last value.
        queries: Images that the encoder was queried with, for the target that took most.
        image_steps: How many of those queries had white-box access, and so gradients.
        queries_mean: Queries per target on average; lower than ``queries`` if some targets converged early.
        image_steps_mean: Queries with white-box access per target on average.
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
        """Return everything that depends only on the target descriptors ``(B, D)``; called once per batch."""
        ...

    def __call__(self, candidate: Candidate, prepared: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weighted sum ``(B,)``, and the unweighted terms by name."""
        ...


class Encode(Protocol):
    """The attacked encoder under white-box access."""

    def __call__(self, images: Tensor, of: Tensor | None = None) -> Tensor:
        """Return descriptors ``(N, D)`` that gradients flow through.

        The first backward pass through them is part of the image-step; each further one counts as another.

        Args:
            images: ``(N, 3, H, W)`` in the generator's framing.
            of: ``(N,)``: the row of the target that each image is a candidate for. Without it there must be one
                image per target, in order.

        Raises:
            PluginError: if the method declares access to scores only, or a target's budget is spent.
        """
        ...


class Score(Protocol):
    """The objective without gradients: all that a method with access to scores learns about the encoder."""

    def __call__(
        self, of: Tensor, *, latents: Tensor | None = None, images: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the objective of each candidate ``(N,)`` and its unweighted terms by name, without gradients.

        Args:
            of: ``(N,)``: the row of the target that each candidate is for; a target may have any number of them.
            latents: ``(N, *latent_shape)``; rendered a few at a time unless ``images`` are given.
            images: ``(N, 3, H, W)`` in the generator's framing, if they are already rendered or do not come
                from the generator.

        Raises:
            PluginError: if a target's budget is spent.
        """
        ...


@dataclass(frozen=True)
class InversionTask:
    """Everything that a method knows about a batch of targets. The target images are not part of it.

    Args:
        descriptors: The leaked descriptors ``(B, D)``.
        generator: The face prior.
        space: Latent space to search.
        encode: Images to descriptors of the attacked encoder, with gradients; requires white-box access.
        score: Candidates to values of the objective, without gradients; available with either access.
        objective: The function to minimise, given a candidate's descriptors.
        start: Regressor from descriptors ``(B, D)`` to latents, trained on synthetic pairs.
        steps: Budget per target: the number of images that the encoder may be queried with, by ``encode`` and
            ``score`` together. Rendering an image without querying the encoder is free.
        seeds: One seed per target, so that a result does not depend on the rest of the batch.
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
        """Return a reconstruction of every target in ``task``."""
        ...


@dataclass(frozen=True)
class Training:
    """Everything that a learning method is trained with, before any target is known.

    Args:
        latents: Latents ``(N, *latent_shape)`` of the attack's synthetic pairs, on the CPU.
        descriptors: Descriptors ``(N, D)`` of the same pairs.
        generator: The face prior, frozen; gradients flow through it.
        space: Latent space.
        encode: The attacked encoder, frozen: images ``(B, 3, H, W)`` to descriptors. Calls are not counted. It
            raises an error unless the method declares ``offline="white-box"``, and after ``prepare`` has returned.
        whiten: Scales descriptors ``(B, D)`` to unit variance over the pairs along each of their principal axes.
        seed: Seed for initial weights and for the order of the pairs.
        cached: ``cached(settings, make)`` returns the tensors that ``make()`` returned the first time for these
            pairs, this code of the method and these ``settings``.
        progress: Called with a description, the number of steps done, and their total.
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
    """A method that is trained on the attack's synthetic pairs before it sees a target."""

    def __call__(self, task: InversionTask) -> Inversion:
        """Return a reconstruction of every target in ``task``."""
        ...

    def prepare(self, training: Training) -> None:
        """Train, or load what was trained before; called once, before any target."""
        ...
