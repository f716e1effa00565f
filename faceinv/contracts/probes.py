"""The interface of a probe: an attribute, how it is measured on an image and read from a descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from faceinv.contracts.specs import Framing


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
