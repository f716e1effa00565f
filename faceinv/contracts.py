"""What crosses a boundary, as types: images, encoders, generators, probes, losses, methods, metrics.

Images are ``float32`` RGB ``(B, 3, H, W)`` in ``[0, 1]``, everywhere. Descriptors are ``(B, D)``.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from faceinv.errors import ShapeError
from faceinv.searches import (
    Candidate,
    Encode,
    Inversion,
    InversionTask,
    LearningMethod,
    Method,
    Objective,
    Score,
    Training,
)

if TYPE_CHECKING:
    from faceinv.specs import Framing

__all__ = [
    "Candidate",
    "Comparison",
    "Dataset",
    "DatasetContext",
    "DerivedProbe",
    "Detector",
    "Encode",
    "Faces",
    "Generator",
    "Inversion",
    "InversionTask",
    "LearningMethod",
    "Loss",
    "LossContext",
    "Method",
    "Metric",
    "Objective",
    "Probe",
    "Recipe",
    "Score",
    "Training",
    "check_images",
]


def check_images(images: Tensor, size: tuple[int, int] | None = None) -> None:
    """Raise :class:`ShapeError` unless ``images`` is floating point ``(B, 3, H, W)`` of this ``size``."""
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ShapeError(f"Images must be (B, 3, H, W), got {given}.")
    if not images.is_floating_point():
        raise ShapeError(f"Images must be floating point in [0, 1], got {images.dtype}; divide 8-bit values by 255.")
    if size is not None and tuple(images.shape[2:]) != tuple(size):
        raise ShapeError(f"Images must be {size[0]}x{size[1]} pixels, got {images.shape[2]}x{images.shape[3]}.")


class Generator(nn.Module, ABC):
    """A frozen face generator."""

    @abstractmethod
    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the shape of one latent of this ``space``, such as ``(512,)`` or ``(18, 512)``."""

    @abstractmethod
    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` typical latents ``(n, *latent_shape)`` from ``rng``, on its device."""

    @abstractmethod
    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, H, W)`` in ``[0, 1]`` for ``latents`` ``(B, *latent_shape)``."""

    @abstractmethod
    def log_prior(self, latents: Tensor, space: str) -> Tensor:
        """Return how typical each latent is, ``(B,)``: a log density up to a constant."""


class Detector(Protocol):
    """Finds faces in photographs."""

    def __call__(self, image: Tensor) -> Faces:
        """Find the faces in one image ``(3, H, W)`` in ``[0, 1]``, the most prominent first."""
        ...


@dataclass(frozen=True)
class Faces:
    """Faces found in one image.

    Args:
        boxes: ``(n, 4)`` left, top, right, bottom in pixels.
        points: ``(n, 5, 2)`` the five points of a framing, (x, y) in pixels, where the centre of the
            first pixel is (0.5, 0.5).
        scores: ``(n,)`` confidence in ``[0, 1]``.
    """

    boxes: Tensor
    points: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.scores)


class Dataset(ABC):
    """Images, and what is known of each. The same folder gives the same order, ids and annotations."""

    #: One id for each image, unique in the data set.
    ids: Sequence[str]
    #: Who is in each image, or ``None`` where it is not known.
    identities: Sequence[str] | None = None
    #: Where the faces sit, or ``None`` if they have to be found first.
    framing: Framing | None = None
    #: Whether ``framing`` is but the mean of images that others aligned: near enough to read attributes
    #: of thousands, while the targets of an inversion are searched for faces one by one.
    framing_is_approximate: bool = False
    #: What is known of the images: name → ``(N,)`` float32, 0 and 1 or continuous, NaN where not known.
    annotations: Mapping[str, Tensor] = MappingProxyType({})
    #: ``"train"``, ``"val"`` or ``"test"`` for each image, disjoint by identity; ``None`` where it is not split.
    splits: Sequence[str] | None = None
    #: The part (left, top, right, bottom) of the frame, in frame coordinates of ``framing``, that shows the
    #: photograph in every image; attributes of all pixels are measured in it. ``None`` is the whole frame.
    clean_box: tuple[float, float, float, float] | None = None
    #: (id, reason) of what is listed but is not among ``ids``: a row without an image, an image without a row.
    skipped: Sequence[tuple[str, str]] = ()
    #: Whether its name stands for all of its images, so that a part must not go by it.
    whole: bool = False

    @abstractmethod
    def load(self, index: int) -> Tensor:
        """Return image ``index`` as ``(3, H, W)`` in ``[0, 1]``; may be called from several threads at once.

        Raises:
            InputError: the image cannot be decoded; it is reported and skipped.
        """

    def fingerprint(self) -> str:
        """Return a hash that changes when the images do; records are named by it. By default, of the ids."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DatasetContext:
    """What a data set is built with.

    Args:
        generator: The generator of the run, for data sets that sample it.
        framing: The generator's framing.
        space: Latent space.
        seed: Seed of the run.
        limit: How many images will be asked for at most.
        labels: A CSV file of annotations, for data sets that take one.
    """

    generator: Generator | None
    framing: Framing | None
    space: str
    seed: int
    limit: int | None
    labels: Path | None = None


@dataclass(frozen=True)
class Recipe:
    """How a head is trained on (descriptor, attribute) pairs.

    Args:
        optimizer: ``"adam"``, ``"adamw"`` or ``"sgd"``.
        learning_rate: Step size; ``schedule`` says how it falls.
        batch_size: Pairs in a step.
        epochs: Passes over the pairs at most.
        objective: ``"mse"`` or ``"bce"`` (on logits).
        weight_decay: Decoupled weight decay.
        schedule: ``"constant"`` or ``"cosine"``.
        whiten: Whether descriptors are decorrelated and brought to unit variance along each of their principal
            axes, and attributes number by number.
        patience: Epochs without progress on the validation part after which training stops; 0 trains
            all epochs.
    """

    optimizer: str = "adam"
    learning_rate: float = 1e-3
    batch_size: int = 64
    epochs: int = 20
    objective: str = "mse"
    weight_decay: float = 0.0
    schedule: str = "constant"
    whiten: bool = False
    patience: int = 0


class Probe(ABC):
    """An attribute, how it is measured on an image, and how it is read from a descriptor."""

    #: Shape of the attribute of one image, such as ``(68, 2)``.
    shape: tuple[int, ...]

    @abstractmethod
    def label(self, images: Tensor) -> Tensor:
        """Return the true attribute ``(B, *shape)`` of ``images``; need not be differentiable."""

    def measure(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)``, differentiable in ``images``; the loss is built on it."""
        raise NotImplementedError(f"{type(self).__name__} cannot be measured differentiably.")

    @abstractmethod
    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the error of each prediction, ``(B,)``, in the unit that the spec declares."""

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's untrained head, ``(B, dim)`` to ``(B, prod(shape))``, if the paper has one."""
        raise NotImplementedError(f"The paper has no head for {type(self).__name__}; use the preset 'tuned'.")

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe for :meth:`paper_head`."""
        raise NotImplementedError(f"The paper has no recipe for {type(self).__name__}; use the preset 'tuned'.")

    def reading_loss(self, raw: Tensor, truth: Tensor) -> Tensor | None:
        """Return what the tuned recipe makes small, ``(B,)``, of unconstrained readings ``(B, *shape)``.

        ``None``, the default, is the squared distance of standardised attributes. An :meth:`error` that is no
        squared distance is read better by one that trains on it: the mean of an attribute is not its median.
        """
        return None

    def coordinates(self, attribute: Tensor) -> Tensor:
        """Return attributes ``(B, *shape)`` as points ``(B, k)`` whose distance means what :meth:`error` does.

        As they are, by default. Losses and their scale are taken in these coordinates.
        """
        return attribute.flatten(1)

    def constrain(self, raw: Tensor) -> Tensor:
        """Bring a head's raw output ``(B, prod(shape))`` to a valid attribute ``(B, *shape)``."""
        return raw.reshape(len(raw), *self.shape)

    def mirror(self, attribute: Tensor) -> Tensor | None:
        """Return the attributes ``(B, *shape)`` of the mirror images, or ``None`` where they are not known."""
        return None


class DerivedProbe(Probe):
    """An attribute that is computed from those of other probes, such as the head's pose from landmarks.

    Args:
        sources: The probes that the spec's ``needs`` name, in that order.
        framing: Where the face sits in the images.
    """

    def __init__(self, *sources: Probe, framing: Framing) -> None:
        self.sources = sources
        self.framing = framing

    @abstractmethod
    def derive(self, *attributes: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` of images whose ``sources`` are ``attributes``; differentiable."""

    def label(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` derived from the sources' labels."""
        return self.derive(*(source.label(images) for source in self.sources))

    def measure(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` derived from what the sources measure, differentiable."""
        return self.derive(*(source.measure(images) for source in self.sources))


class Loss(ABC):
    """A term of the objective, for a fixed batch of target descriptors."""

    @abstractmethod
    def prepare(self, descriptors: Tensor) -> Any:
        """Return whatever the targets ``(B, D)`` determine, computed once per batch and not per step."""

    @abstractmethod
    def __call__(self, candidate: Candidate, prepared: Any) -> Tensor:
        """Return the loss of each candidate, ``(B,)``, unreduced and unweighted."""


@dataclass(frozen=True)
class LossContext:
    """What a loss is built with.

    Args:
        preset: Name of the objective preset: ``"paper"`` takes losses in the paper's own units,
            every other preset in units in which a value near 1 is what an ignorant guess costs
            (``id``) or what the probe's own error amounts to (attributes).
        descriptor_variance: Mean squared distance of a descriptor to the mean descriptor, over
            samples of the generator.
        probe: The probe of an attribute loss.
        reader: Its trained head: descriptors ``(B, D)`` to attributes ``(B, *shape)``.
        error_covariance: Second moments ``(k, k)`` of the reader's errors on held-out samples, in the probe's
            own coordinates ``(k,)``; ``None`` where they are not known, and every error then counts as it is.
        whitening: Brings descriptors ``(B, D)`` of the generator's samples to unit variance along each of their
            principal axes.
    """

    preset: str
    descriptor_variance: float
    probe: Probe | None = None
    reader: Callable[[Tensor], Tensor] | None = None
    error_covariance: Tensor | None = None
    whitening: Callable[[Tensor], Tensor] | None = None


class Comparison(Protocol):
    """Targets beside their reconstructions, in the generator's framing; descriptors made on demand."""

    @property
    def target(self) -> Tensor:
        """Targets ``(B, 3, H, W)``."""
        ...

    @property
    def reconstruction(self) -> Tensor:
        """Reconstructions ``(B, 3, H, W)``."""
        ...

    def similarity(self, role: str) -> Tensor:
        """Return the cosine of target and reconstruction ``(B,)`` on the ``"attacked"`` encoder or ``"critic"``."""
        ...


class Metric(Protocol):
    """A score of reconstructions."""

    def __call__(self, comparison: Comparison) -> Tensor:
        """Return the score of each pair, ``(B,)``."""
        ...
