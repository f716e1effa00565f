"""Annotations of a data set as probes; columns are found by name, ignoring case."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from faceinv.contracts.probes import Probe, Recipe
from faceinv.errors import InputError, ShapeError


class _Annotation(Probe):
    """An attribute that is a column of the data set, one number per image.

    Args:
        name: The annotation's name in the data set.
    """

    shape = (1,)

    def __init__(self, name: str) -> None:
        self.name = name

    def label(self, images: Tensor) -> Tensor:
        """Raise :class:`InputError`: annotations are in the data set, not in the pixels."""
        raise InputError(f"'{self.name}' is an annotation: it is read from the data set, not measured on images.")

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return ``attribute``: the mirror image of a face smiles as much."""
        return attribute


class AnnotationProbe(_Annotation):
    """A binary annotation, 0 or 1, read from the descriptor as a probability ``(B, 1)``."""

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return 1 where the probability ``(B, 1)`` is on the wrong side of 0.5, else 0: ``(B,)``."""
        return ((predicted > 0.5) != (truth > 0.5)).float().mean(1)

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's MLP (section 3.1): three fully connected layers, 256 hidden units, a sigmoid output.

        The sigmoid is part of the loss here; :meth:`constrain` applies it when reading.
        """
        return nn.Sequential(nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 1))

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe (section 3.1): Adam on the cross entropy, rate 1e-3, 20 epochs.

        The paper gives no batch size; 64 is ours.
        """
        return Recipe(optimizer="adam", learning_rate=1e-3, batch_size=64, epochs=20, objective="bce")

    def constrain(self, raw: Tensor) -> Tensor:
        """Return the probabilities ``(B, 1)`` of the logits."""
        return torch.sigmoid(raw)


class ContinuousAnnotation(_Annotation):
    """An annotation of any number, such as an age."""

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the absolute error in the annotation's own unit, ``(B,)``."""
        return (predicted - truth).abs().mean(1)


def annotation_probe(name: str, values: Tensor) -> AnnotationProbe | ContinuousAnnotation:
    """Return the probe of an annotation with these values ``(N,)``, NaN where unknown.

    Raises:
        ShapeError: if the values are not one number per image.
        InputError: if nothing is annotated, or every image has the same value.
    """
    if values.ndim != 1:
        raise ShapeError(f"The annotation '{name}' must be one number per image, got {tuple(values.shape)}.")
    known = values[~values.isnan()]
    if len(known) == 0 or bool((known == known[0]).all()):
        state = "is empty" if len(known) == 0 else f"is {float(known[0]):g} for all {len(known)} images"
        raise InputError(f"The annotation '{name}' {state}: there is nothing to read.")
    return AnnotationProbe(name) if bool(((known == 0) | (known == 1)).all()) else ContinuousAnnotation(name)


def find_annotation(annotations: Mapping[str, Tensor], name: str) -> str | None:
    """Return the key of ``annotations`` equal to ``name``, ignoring case, blanks, dashes and underscores."""
    wanted = _folded(name)
    return next((key for key in annotations if _folded(key) == wanted), None)


def _folded(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
