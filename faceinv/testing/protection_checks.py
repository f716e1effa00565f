"""Checks of protections: templates, keys, comparison, and the attack that is declared."""

from __future__ import annotations

from typing import NoReturn

import torch
from torch import Tensor
from torch.nn import functional as F

from faceinv.contracts.protection_specs import ProtectionContext
from faceinv.contracts.protections import Leak
from faceinv.plugins.registry import load_target
from faceinv.testing.checks import check, require
from faceinv.testing.subjects import Subject
from faceinv.testing.watch import untouched

_DIM, _EXAMPLES, _LEAKED = 64, 400, 6


def descriptors(n: int, seed: int) -> Tensor:
    """Return descriptors ``(n, 64)`` of length 1, with unequal axes as those of an encoder."""
    mixing = torch.randn(_DIM, _DIM, generator=torch.Generator().manual_seed(1)) * torch.linspace(1, 0.2, _DIM)
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, _DIM, generator=rng) @ mixing.T + 0.2)


def context() -> ProtectionContext:
    """Return what a protection under check is built from; every attribute has three numbers."""
    return ProtectionContext(
        _DIM, 0, lambda: descriptors(_EXAMPLES, 0), lambda name: descriptors(_EXAMPLES, 0)[:, :3] * 10
    )


@check("protection", fix="Keep the context, and learn in a cached property or on the first call.")
def learns_on_first_use(subject: Subject) -> None:
    """Building it learns nothing, so that options can be checked before anything is computed."""

    def refuse(name: str = "") -> NoReturn:
        require(False, f"{subject} asks for examples or labels while it is built.")
        raise AssertionError

    load_target(subject.spec)(ProtectionContext(_DIM, 0, refuse, refuse), **subject.spec.options)


@check("protection", fix="Return (N, M), finite; 0 and 1 for 'binary', whole numbers from 0 for 'symbols'.")
def templates_as_declared(subject: Subject) -> None:
    """Templates are ``(N, M)``, finite, of the declared kind of numbers, and a row does not depend on the others."""
    given = descriptors(_LEAKED, 5)
    found = subject.built.protect(given, 3)
    require(isinstance(found, Tensor) and found.ndim == 2, f"{subject} does not return templates (N, M).")
    require(len(found) == _LEAKED, f"{subject} returns {len(found)} templates of {_LEAKED} descriptors.")
    require(bool(found.isfinite().all()), f"{subject} returns templates that are not finite.")
    if subject.spec.output != "real":
        least, most = float(found.min()), float(found.max())
        whole = bool((found == found.round()).all()) and least >= 0
        require(whole, f"{subject} declares output='{subject.spec.output}' and returns other numbers.")
        require(subject.spec.output != "binary" or most <= 1, f"{subject} declares binary templates, and has {most:g}.")
    alone = subject.built.protect(given[2:3], 3)
    require(
        torch.allclose(alone, found[2:3], atol=1e-5), f"{subject} makes another template of a descriptor that is alone."
    )


@check("protection", fix="Draw everything from a torch.Generator that is seeded with the key.")
def the_key_decides(subject: Subject) -> None:
    """The same key makes the same template, in a new object too; with keys, another key makes another."""
    given = descriptors(_LEAKED, 5)
    first, again = subject.built.protect(given, 3), subject.rebuilt.protect(given, 3)
    require(torch.equal(first, again), f"{subject} makes two different templates of one descriptor under one key.")
    if subject.spec.keys != "none":
        other = subject.built.protect(given, 4)
        same = other.shape == first.shape and torch.equal(first, other)
        require(not same, f"{subject} declares keys='{subject.spec.keys}', but another key changes nothing.")


@check("protection", fix="Return a score that is higher for more alike templates, stored ones in rows.")
def compares_people(subject: Subject) -> None:
    """Templates compare as ``(N, K)``, and a template is most alike to what the same descriptor presents."""
    given, built = descriptors(_LEAKED, 5), subject.built
    scores = built.compare(built.protect(given, 3), built.present(given[:4], 3))
    require(tuple(scores.shape) == (_LEAKED, 4), f"{subject} compares 6 with 4 templates as {tuple(scores.shape)}.")
    own = scores[:4].diagonal().mean()
    require(bool(own > scores.mean()), f"{subject}: people are no more alike to themselves than to others.")


@check("protection", fix="Implement recover, or declare no attack: results are then marked 'not attacked adaptively'.")
def the_attack_works(subject: Subject) -> None:
    """The declared attack recovers descriptors that are closer to the leaked ones than to other people's."""
    leaked = descriptors(_LEAKED, 5)
    leaks = [Leak(subject.built.protect(leaked, 3), 3)]
    if not subject.spec.attack:
        try:
            subject.built.recover(leaks, descriptors(_EXAMPLES, 9))
        except NotImplementedError:
            return
        require(False, f"{subject} has an attack and declares none (ProtectionSpec.attack).")
    found = subject.built.recover(leaks, descriptors(_EXAMPLES, 9)).descriptors
    require(
        tuple(found.shape) == tuple(leaked.shape), f"{subject} recovers {tuple(found.shape)} of ({_LEAKED}, {_DIM})."
    )
    cosines = F.normalize(found.float()) @ leaked.T
    own, others = float(cosines.diagonal().mean()), float((cosines.sum() - cosines.trace()) / (_LEAKED * 5))
    require(own > others + 0.05, f"{subject}: its attack reaches a cosine of {own:.2f}; strangers have {others:.2f}.")


@check("protection", fix="Draw from a generator of your own, and work on copies.")
def running_touches_no_global_state(subject: Subject) -> None:
    """Protecting changes neither its input nor random states and torch's settings."""
    given = descriptors(_LEAKED, 5)
    with untouched(str(subject)):
        subject.built.protect(given, 3)
    require(torch.equal(given, descriptors(_LEAKED, 5)), f"{subject} modifies the descriptors.")
