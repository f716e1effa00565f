"""The protection interface: a transform of descriptors before they are stored, and the best attack on it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Leak:
    """Templates of some people, one of each, all stored under one key.

    Args:
        templates: ``(N, M)``.
        key: The key.
    """

    templates: Tensor
    key: int


@dataclass(frozen=True)
class Recovered:
    """Descriptors that an attack recovered from templates.

    Args:
        descriptors: ``(N, D)``; only their direction counts.
        attack: The attack in words, such as ``"least squares"``.
        budget: What it spent on each target, by unit, such as ``{"guesses": 20, "iterations": 100}``.
        tried: Mean cosine that each attack reached on the attacker's own faces, which decided between them.
    """

    descriptors: Tensor
    attack: str
    budget: Mapping[str, int] = field(default_factory=dict)
    tried: Mapping[str, float] = field(default_factory=dict)


#: An attack: from templates and the prior to descriptors.
Attack = Callable[[Sequence[Leak], Tensor], Recovered]


class Protection(ABC):
    """A transform of descriptors before they are stored. All randomness comes from the key, an integer."""

    @abstractmethod
    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        """Return the templates ``(N, M)`` to store for descriptors ``(N, D)`` of length 1."""

    def present(self, descriptors: Tensor, key: int) -> Tensor:
        """Return what is made of descriptors ``(N, D)`` at a login; by default what is stored."""
        return self.protect(descriptors, key)

    def compare(self, stored: Tensor, presented: Tensor) -> Tensor:
        """Return the score ``(N, K)`` of each stored template and each presented one; higher is more alike."""
        return cosine_scores(stored, presented)

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Return the descriptors behind leaked templates, by the best attack known.

        Args:
            leaks: Templates of the same ``N`` people, each under another key, which the attacker knows; usually one.
            prior: Descriptors ``(P, D)`` of length 1 of other faces, which the attacker made.

        Raises:
            NotImplementedError: if no attack is known; its ``ProtectionSpec.attack`` is then empty.
        """
        raise NotImplementedError

    def attacks(self) -> Sequence[Attack]:
        """Return the attacks that are made for this scheme; by default :meth:`recover` alone.

        An attacker tries them on own faces, together with those that fit every scheme, and runs the best.
        """
        return [self.recover]


def cosine_scores(stored: Tensor, presented: Tensor) -> Tensor:
    """Return the cosine ``(N, K)`` of each row of ``stored`` ``(N, M)`` with each of ``presented`` ``(K, M)``."""
    return nn.functional.normalize(stored) @ nn.functional.normalize(presented).T


def hamming_scores(stored: Tensor, presented: Tensor) -> Tensor:
    """Return the share of equal numbers, ``(N, K)``: 1 minus the Hamming distance divided by the length."""
    return 1 - torch.cdist(stored, presented, p=0) / stored.shape[1]


def euclidean_scores(stored: Tensor, presented: Tensor) -> Tensor:
    """Return the negative Euclidean distance, ``(N, K)``."""
    return -torch.cdist(stored, presented)
