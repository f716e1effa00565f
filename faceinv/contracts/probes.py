"""The probe interface: an attribute, its measurement on an image, and its inference from a descriptor."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from faceinv.contracts.specs import Framing


@dataclass(frozen=True)
class Recipe:
    """Training settings of a head on (descriptor, attribute) pairs.

    Args:
        optimizer: ``"adam"``, ``"adamw"``, ``"sgd"``, or ``"ridge"``: a head that is one linear layer, solved at once.
        learning_rate: Initial step size.
        batch_size: Pairs per step.
        epochs: Maximum number of passes over the pairs.
        objective: ``"mse"`` or ``"bce"`` (on logits).
        weight_decay: Decoupled weight decay; of ``"ridge"`` the penalty, as a share of a whitened axis' variance.
        schedule: Of the learning rate: ``"constant"`` or ``"cosine"``.
        whiten: Whether descriptors are scaled to unit variance along each of their principal axes, and each
            number of the attribute to unit variance.
        patience: Stop after this many epochs without progress on the validation part; 0 trains all epochs.
        noise: Standard deviation of normal noise added to a head's inputs in training.
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
    noise: float = 0.0


class Probe(ABC):
    """An attribute, how it is measured on an image, and how it is inferred from a descriptor."""

    #: Shape of the attribute of one image, such as ``(68, 2)``.
    shape: tuple[int, ...]
    #: What measures the attribute on an image, such as a network and what it was trained on; for records.
    measured_by: str = ""
    #: What to say wherever the probe is used on images of its framing, one sentence each.
    remarks: tuple[str, ...] = ()

    @abstractmethod
    def label(self, images: Tensor) -> Tensor:
        """Return the true attribute ``(B, *shape)`` of ``images``; need not be differentiable."""

    def measure(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)``, differentiable in ``images``; the attribute loss uses it."""
        raise NotImplementedError(f"{type(self).__name__} cannot be measured differentiably.")

    @abstractmethod
    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the error of each prediction, ``(B,)``, in the unit that the spec declares."""

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's head, untrained, from ``(B, dim)`` to ``(B, prod(shape))``, if the paper has one."""
        raise NotImplementedError(f"The paper has no head for {type(self).__name__}; use the preset 'tuned'.")

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe for :meth:`paper_head`."""
        raise NotImplementedError(f"The paper has no recipe for {type(self).__name__}; use the preset 'tuned'.")

    def reading_loss(self, raw: Tensor, truth: Tensor) -> Tensor | None:
        """Return the training loss ``(B,)`` of the tuned recipe for unconstrained predictions ``(B, *shape)``.

        ``None``, the default, means the squared distance of standardised attributes. If :meth:`error` is not
        a squared distance, training on it directly is better: it may ask for a median rather than a mean.
        """
        return None

    def coordinates(self, attribute: Tensor) -> Tensor:
        """Return attributes ``(B, *shape)`` as points ``(B, k)`` whose distance corresponds to :meth:`error`.

        Losses and their scale are computed in these coordinates. By default, the attribute flattened.
        """
        return attribute.flatten(1)

    def constrain(self, raw: Tensor) -> Tensor:
        """Return a valid attribute ``(B, *shape)`` for a head's raw output ``(B, prod(shape))``."""
        return raw.reshape(len(raw), *self.shape)

    def mirror(self, attribute: Tensor) -> Tensor | None:
        """Return the attributes ``(B, *shape)`` of the mirrored images, or ``None`` if they are unknown."""
        return None


class DerivedProbe(Probe):
    """An attribute computed from those of other probes, such as head pose from landmarks.

    Args:
        sources: The probes named by the spec's ``needs``, in that order.
        framing: Framing of the images.
    """

    def __init__(self, *sources: Probe, framing: Framing) -> None:
        self.sources = sources
        self.framing = framing

    @abstractmethod
    def derive(self, *attributes: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` given those of the ``sources``; differentiable."""

    def label(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` derived from the sources' labels."""
        return self.derive(*(source.label(images) for source in self.sources))

    def measure(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, *shape)`` derived from the sources' measurements; differentiable."""
        return self.derive(*(source.measure(images) for source in self.sources))
