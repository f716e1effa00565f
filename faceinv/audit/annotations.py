"""Attributes that people annotated, as probes: any column of a data set, found by name whatever its case."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from faceinv.contracts.probes import Probe, Recipe
from faceinv.errors import InputError, ShapeError


class AnnotationProbe(Probe):
    """A binary annotation: 0 or 1 for each image, read from the descriptor as a probability ``(B, 1)``.

    Args:
        name: The annotation's name in the data set.
    """

    shape = (1,)

    def __init__(self, name: str) -> None:
        self.name = name

    def label(self, images: Tensor) -> Tensor:
        """Raise :class:`InputError`: what people annotated is in the data set, not in the pixels."""
        raise InputError(f"'{self.name}' is an annotation; it is read from the data set and not measured on images.")

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return 1 where the probability ``(B, 1)`` is on the wrong side of 0.5, else 0: ``(B,)``."""
        return ((predicted > 0.5) != (truth > 0.5)).float().mean(1)

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's MLP (section 3.1): three fully connected layers, 256 hidden units, a sigmoid output.

        The sigmoid is part of the loss here (:meth:`constrain` applies it to what is read).
        """
        return nn.Sequential(nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe (section 3.1): Adam on the cross entropy, rate 1e-3, 20 epochs.

        The paper gives no batch size; 64 is ours.
        """
        return Recipe(optimizer="adam", learning_rate=1e-3, batch_size=64, epochs=20, objective="bce")

    def constrain(self, raw: Tensor) -> Tensor:
        """Return the probabilities ``(B, 1)`` of logits."""
        return torch.sigmoid(raw)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute``: a face in the mirror smiles as much."""
        return attribute


class ContinuousAnnotation(Probe):
    """An annotation of any numbers, such as an age.

    Args:
        name: The annotation's name in the data set.
    """

    shape = (1,)

    def __init__(self, name: str) -> None:
        self.name = name

    def label(self, images: Tensor) -> Tensor:
        """Raise :class:`InputError`: what people annotated is in the data set, not in the pixels."""
        raise InputError(f"'{self.name}' is an annotation; it is read from the data set and not measured on images.")

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the absolute error in the annotation's own unit, ``(B,)``."""
        return (predicted - truth).abs().mean(1)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute``."""
        return attribute


def annotation_probe(name: str, values: Tensor) -> AnnotationProbe | ContinuousAnnotation:
    """Return the probe of an annotation with these values ``(N,)``, NaN where it is not known.

    Raises:
        ShapeError: the values are not one number for each image.
        InputError: nothing is annotated, or everything is annotated alike.
    """
    if values.ndim != 1:
        raise ShapeError(f"The annotation '{name}' must be one number for each image, got {tuple(values.shape)}.")
    known = values[~values.isnan()]
    if len(known) == 0 or bool((known == known[0]).all()):
        state = "is empty" if len(known) == 0 else f"is {float(known[0]):g} for all {len(known)} images"
        raise InputError(f"The annotation '{name}' {state}: there is nothing to read.")
    return AnnotationProbe(name) if bool(((known == 0) | (known == 1)).all()) else ContinuousAnnotation(name)


def find_annotation(annotations: Mapping[str, Tensor], name: str) -> str | None:
    """Return the key of ``annotations`` that is ``name`` but for case, blanks, dashes and underscores."""
    wanted = _folded(name)
    return next((key for key in annotations if _folded(key) == wanted), None)


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
