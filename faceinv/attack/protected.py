"""A system that stores protected templates, and what an attacker makes of them under each threat model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property

import torch
from torch import Tensor, nn

from faceinv.attack.recovery import from_pairs
from faceinv.contracts.protection_specs import ProtectionSpec
from faceinv.contracts.protections import Leak, Protection, Recovered
from faceinv.storage.hashing import seed_of

#: Descriptors of the attacker's own faces: as many as a linear map between descriptors can learn from in a minute.
PRIOR = 4000
#: Mark of results under an attack that does not know the scheme.
NOT_ADAPTIVE = "not attacked adaptively"
#: Keys of their own with which attackers make pairs where the key is secret.
_OWN_KEYS = 8
#: Numbers that a linear map is learnt from at most.
_MOST_INPUTS = 1024


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in one thread: the matrices are so small that several wait for each other most of the time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class ProtectedSystem:
    """Templates of a system: descriptors behind a protection, each under the key of its person.

    Args:
        spec: Declaration of the protection.
        protection: The protection.
        seed: Seed that keys are derived from.
        threat: One of :data:`faceinv.contracts.THREATS`.
        prior: Returns descriptors ``(P, D)`` of length 1 of the attacker's own faces.
    """

    def __init__(
        self, spec: ProtectionSpec, protection: Protection, *, seed: int, threat: str, prior: Callable[[], Tensor]
    ) -> None:
        self.spec, self.protection, self.threat = spec, protection, threat
        self._seed, self._prior = seed, prior

    @cached_property
    def prior(self) -> Tensor:
        """Descriptors ``(P, D)`` of length 1 of the attacker's own faces."""
        return nn.functional.normalize(self._prior())

    def key(self, person: str, number: int = 0) -> int:
        """Return a key of a person, or of the system; 0 for a protection without keys.

        Args:
            person: The person.
            number: Number of the key: revoked templates are issued again under the next.
        """
        if self.spec.keys == "none":
            return 0
        whose = f"person {person}" if self.spec.keys == "person" else "system"
        return seed_of(f"faceinv key {number} of {whose} {self._seed}")

    def store(self, descriptors: Tensor, people: Sequence[str]) -> Tensor:
        """Return the templates ``(N, M)`` of descriptors ``(N, D)``, each under the key of its person."""
        unit = nn.functional.normalize(descriptors)
        parts = {key: self.protection.protect(unit[rows], key) for key, rows in self._by_key(people).items()}
        first = next(iter(parts.values()))
        templates = torch.empty(len(people), first.shape[1], dtype=first.dtype)
        for key, rows in self._by_key(people).items():
            templates[rows] = parts[key]
        return templates

    @property
    def adaptive(self) -> bool:
        """Whether the best attack known is the one that is run."""
        return bool(self.spec.attack) or self.threat != "key-known"

    def recover(self, templates: Tensor, people: Sequence[str]) -> Recovered:
        """Return the descriptors ``(N, D)``, of length 1, that the attacker recovers from templates ``(N, M)``."""
        descriptors = torch.empty(len(templates), self.prior.shape[1])
        found = None
        with _one_thread():
            for key, rows in self._by_key(people).items():
                found = self._attack(templates[rows], key)
                descriptors[rows] = nn.functional.normalize(found.descriptors).float()
        assert found is not None, "at least one template leaked"
        return Recovered(descriptors, found.attack, found.budget)

    def accepted(self, templates: Tensor, descriptors: Tensor, people: Sequence[str]) -> Tensor:
        """Return the score ``(N,)`` of each template with what is made of the descriptor in its row at a login."""
        scores = torch.empty(len(templates))
        unit = nn.functional.normalize(descriptors)
        for key, rows in self._by_key(people).items():
            presented = self.protection.present(unit[rows], key)
            scores[rows] = self.protection.compare(templates[rows], presented).diagonal().float()
        return scores

    def _attack(self, templates: Tensor, key: int) -> Recovered:
        known = self.threat == "key-known" or self.spec.keys == "none"
        if known and self.spec.attack:
            return self.protection.recover([Leak(templates, key)], self.prior)
        if known or self.threat == "key-stolen-late":
            return from_pairs(
                self.numbers(self.protection.protect(self.prior, key)), self.prior, self.numbers(templates)
            )
        keys = [seed_of(f"faceinv attacker's key {number} {self._seed}") for number in range(_OWN_KEYS)]
        own = torch.cat([self.protection.protect(self.prior[place::_OWN_KEYS], key) for place, key in enumerate(keys)])
        prior = torch.cat([self.prior[place::_OWN_KEYS] for place in range(_OWN_KEYS)])
        mixed = torch.randperm(len(prior), generator=torch.Generator().manual_seed(0))
        return from_pairs(self.numbers(own)[mixed], prior[mixed], self.numbers(templates))

    def numbers(self, templates: Tensor) -> Tensor:
        """Return templates as numbers that a linear map can read: each value of a symbol has its own.

        Too many are mixed at random into fewer: a map learns as much from them, in a hundredth of the time.
        """
        if self.spec.output != "symbols":
            return templates.float()
        values = self._values
        inputs = nn.functional.one_hot(templates.long().clamp(0, values - 1), values).flatten(1).float()
        if inputs.shape[1] <= _MOST_INPUTS:
            return inputs
        rng = torch.Generator().manual_seed(0)
        return inputs @ torch.randn(inputs.shape[1], _MOST_INPUTS, generator=rng)

    @cached_property
    def _values(self) -> int:
        return int(self.protection.protect(self.prior, self.key("")).max()) + 1

    def _by_key(self, people: Sequence[str]) -> dict[int, Tensor]:
        rows: dict[int, list[int]] = {}
        for row, person in enumerate(people):
            rows.setdefault(self.key(person), []).append(row)
        return {key: torch.tensor(of_key) for key, of_key in rows.items()}
