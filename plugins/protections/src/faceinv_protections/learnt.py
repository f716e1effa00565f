"""What protections that erase an attribute share: they learn from examples with labels, and are attacked alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor, nn

from faceinv.attack import from_pairs
from faceinv.contracts import Leak, Protection, ProtectionContext, Recovered
from faceinv.errors import InputError


class Erasure(Protection):
    """A map learnt from descriptors and the labels of one attribute, the same for everybody.

    Args:
        context: Descriptors and labels to learn from.
        attribute: The attribute to erase.
    """

    def __init__(self, context: ProtectionContext, attribute: str) -> None:
        self._context, self._attribute = context, attribute

    @abstractmethod
    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the descriptors without the attribute, ``(N, D)``."""

    @cached_property
    def examples(self) -> Tensor:
        """Descriptors ``(N, D)`` to learn from, in double precision."""
        descriptors: Tensor = self._context.examples().double()
        return descriptors

    @cached_property
    def labels(self) -> Tensor:
        """Labels ``(N, k)`` of the examples, each column with mean 0 and variance 1; constant columns are left out.

        Raises:
            InputError: if all are constant.
        """
        labels = self._context.labels(self._attribute).double().flatten(1)
        spread = labels.std(0)
        kept: Tensor = ((labels - labels.mean(0)) / spread)[:, spread > 1e-9]
        if not kept.shape[1]:
            raise InputError(f"'{self._attribute}' is the same for all {len(labels)} faces, so it cannot be hidden.")
        return kept

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the expected descriptors, by a linear map from templates."""
        return from_pairs(self.protect(prior, 0), prior, leaks[0].templates)


def quantiles(values: Tensor, shares: Tensor) -> Tensor:
    """Return the ``shares`` ``(s,)`` of each column of ``values`` ``(N, D)``, as ``(s, D)``; one of the values each."""
    places = (shares * (len(values) - 1)).round().long()
    return values.sort(0).values[places]


def moments(examples: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean ``(D,)`` and the covariance ``(D, D)`` of examples ``(N, D)``."""
    mean = examples.mean(0)
    centred = examples - mean
    return mean, centred.T @ centred / (len(examples) - 1)


def without(directions: Tensor) -> Tensor:
    """Return the orthogonal projection ``(D, D)`` on what is orthogonal to ``directions`` ``(D, r)``."""
    basis, values, _ = torch.linalg.svd(directions, full_matrices=False)
    basis = basis[:, values > 1e-10 * values.max().clamp_min(1e-30)]
    projection: Tensor = torch.eye(len(directions), dtype=directions.dtype) - basis @ basis.T
    return projection


def network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    """Return a network of one hidden layer."""
    return nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, outputs))
