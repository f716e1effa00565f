"""A system that stores protected templates, and what an attacker makes of them under each threat model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor, nn

from faceinv.attack.evolution import by_evolution
from faceinv.attack.recovery import by_descent, from_pairs
from faceinv.contracts.protection_specs import KEY_KNOWN, KEY_SECRET, ProtectionSpec
from faceinv.contracts.protections import Attack, Leak, Protection, Recovered
from faceinv.storage.hashing import seed_of

#: Descriptors of the attacker's own faces: as many as a linear map between descriptors can learn from in a minute.
PRIOR = 4000
#: Mark of results under an attack that does not know the scheme.
NOT_ADAPTIVE = "not attacked adaptively"
#: Keys of their own with which attackers make pairs where the key is secret.
_OWN_KEYS = 8
#: Own faces on which attackers try the attacks that they know, under a key of their own.
_TRIED_ON = 16
#: Weight of a score against the prior where any scheme is attacked through its score: templates without noise are
#: approached as closely as possible; of ``M`` symbols, each counts a few times its logarithm.
_EXACT, _PER_SYMBOL = 1e5, 4.0
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
        self._tried: dict[int, tuple[Attack, Mapping[str, float]]] = {}

    @cached_property
    def prior(self) -> Tensor:
        """Descriptors ``(P, D)`` of length 1 of the attacker's own faces."""
        return nn.functional.normalize(self._prior())

    def key(self, person: str, number: int = 0) -> int:
        """Return a key of a person, or of the system; for a protection without keys, the number itself.

        Args:
            person: The person.
            number: Number of the key: revoked templates are issued again under the next.
        """
        if self.spec.keys == "none":
            return number
        whose = f"person {person}" if self.spec.keys == "person" else "system"
        return seed_of(f"faceinv key {number} of {whose} {self._seed}")

    @cached_property
    def own_keys(self) -> list[int]:
        """Keys of the attacker's own; 0 for a protection without keys."""
        if self.spec.keys == "none":
            return [0]
        return [seed_of(f"faceinv attacker's key {number} {self._seed}") for number in range(_OWN_KEYS)]

    def store(self, descriptors: Tensor, people: Sequence[str], number: int = 0) -> Tensor:
        """Return the templates ``(N, M)`` of descriptors ``(N, D)``, each under a key of its person."""
        return self.under([self.key(person, number) for person in people], descriptors)

    def under(self, keys: Sequence[int], descriptors: Tensor) -> Tensor:
        """Return the templates ``(N, M)`` of descriptors ``(N, D)``, each under its key."""
        unit, rows = nn.functional.normalize(descriptors), _by_key(keys)
        parts = {key: self.protection.protect(unit[own], key) for key, own in rows.items()}
        first = next(iter(parts.values()))
        templates = torch.empty(len(keys), first.shape[1], dtype=first.dtype)
        for key, own in rows.items():
            templates[own] = parts[key]
        return templates

    @property
    def adaptive(self) -> bool:
        """Whether the best attack known is the one that is run."""
        return bool(self.spec.attack) or self.threat != KEY_KNOWN

    def recover(self, issued: Sequence[Tensor], people: Sequence[str]) -> Recovered:
        """Return the descriptors ``(N, D)``, of length 1, that the attacker recovers.

        Args:
            issued: Templates ``(N, M)`` that leaked, those under the first key of each person first.
            people: The person behind each row.
        """
        descriptors = torch.empty(len(people), self.prior.shape[1])
        found = None
        with _one_thread():
            for rows in _by_key([self.key(person) for person in people]).values():
                person = people[int(rows[0])]
                leaks = [Leak(part[rows], self.key(person, number)) for number, part in enumerate(issued)]
                found = self.attack(leaks)
                descriptors[rows] = nn.functional.normalize(found.descriptors).float()
        assert found is not None, "at least one template leaked"
        return replace(found, descriptors=descriptors)

    def accepted(self, templates: Tensor, descriptors: Tensor, people: Sequence[str]) -> Tensor:
        """Return the score ``(N,)`` of each template with what is made of the descriptor in its row at a login."""
        scores = torch.empty(len(templates))
        unit = nn.functional.normalize(descriptors)
        for key, rows in _by_key([self.key(person) for person in people]).items():
            presented = self.protection.present(unit[rows], key)
            scores[rows] = self.protection.compare(templates[rows], presented).diagonal().float()
        return scores

    def attack(self, leaks: Sequence[Leak]) -> Recovered:
        """Return what the attacker recovers of people whose templates leaked under these keys."""
        if self.threat == KEY_KNOWN or self.spec.keys == "none":
            attack, tried = self._best(len(leaks))
            return replace(attack(leaks, self.prior), tried=tried)
        if self.threat != KEY_SECRET:
            return self._by_map(leaks, self.prior)
        keys = [self.own_keys[row % len(self.own_keys)] for row in range(len(self.prior))]
        own = self.numbers(self.under(keys, self.prior))
        # Which key a template is under is not known, so each answers alone.
        found = [from_pairs(own, self.prior, self.numbers(leak.templates)) for leak in leaks]
        mean = torch.stack([one.descriptors for one in found]).mean(0)
        return replace(found[0], descriptors=mean, budget={**found[0].budget, "templates": len(leaks)})

    def _best(self, issued: int) -> tuple[Attack, Mapping[str, float]]:
        """Return the attack that recovers most of the attacker's own faces from so many templates, and what each did.

        Of equal ones, the scheme's own comes first. None has seen the faces that it is tried on.
        """
        if issued in self._tried:
            return self._tried[issued]
        attacks: list[Attack] = [*self.protection.attacks()] if self.spec.attack else []
        attacks += [self._by_map, self._through if self.spec.differentiable else self._by_score]
        held = min(_TRIED_ON, len(self.prior) // 2)
        prior, faces = self.prior[:-held], self.prior[-held:]
        keys = [self.key("faceinv attacker", number) for number in range(issued)]
        leaks = [Leak(self.protection.protect(faces, key), key) for key in keys]
        tried: dict[str, float] = {}
        best = attacks[0], -1.0
        for attack in attacks:
            found = attack(leaks, prior)
            cosine = float((nn.functional.normalize(found.descriptors.float()) * faces).sum(1).mean())
            cosine = round(cosine, 3) if math.isfinite(cosine) else -1.0
            if cosine > best[1]:
                best = attack, cosine
            tried.setdefault(found.attack, cosine)
        return self._tried.setdefault(issued, (best[0], tried))

    def _by_map(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Attack with a linear map, learnt from templates of the attacker's own faces under the key."""
        known = [self.numbers(self.protection.protect(prior, leak.key)) for leak in leaks]
        found = from_pairs(torch.cat(known, 1), prior, torch.cat([self.numbers(leak.templates) for leak in leaks], 1))
        return replace(found, budget={**found.budget, "templates": len(leaks)})

    def _through(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Attack a differentiable scheme with gradients of its score, straight through it."""

        def misfit(found: Tensor, templates: Tensor, key: int) -> Tensor:
            presented = self.protection.present(found, key).double()
            return -_EXACT * self.protection.compare(templates, presented).diagonal()

        start = self._by_map(leaks, prior).descriptors
        return by_descent(misfit, leaks, prior, "the score, straight through the scheme", starts=[start])

    def _by_score(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        """Attack a scheme without gradients through its score alone, by CMA-ES."""
        weight = _EXACT if self.spec.output == "real" else _PER_SYMBOL * leaks[0].templates.shape[1]

        def misfit(found: Tensor, leaks: Sequence[Leak]) -> Tensor:
            (n, size), place, total = found.shape[:2], torch.arange(len(found)), torch.zeros(1, dtype=found.dtype)
            for leak in leaks:
                presented = self.protection.present(found.flatten(0, 1).float(), leak.key)
                scores = self.protection.compare(leak.templates, presented).view(n, n, size)[place, place]
                total = total - weight * scores.double()
            return total

        return by_evolution(misfit, leaks, prior, self._by_map(leaks, prior).descriptors, "the score")

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


def _by_key(keys: Sequence[int]) -> dict[int, Tensor]:
    """Return the rows of each key."""
    rows: dict[int, list[int]] = {}
    for row, key in enumerate(keys):
        rows.setdefault(key, []).append(row)
    return {key: torch.tensor(of_key) for key, of_key in rows.items()}
