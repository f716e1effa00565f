"""The declaration of a protection, and the threat models under which it is attacked; needs no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from faceinv.contracts.specs import Spec

#: The threat models in which the attacker has everything, and no key.
KEY_KNOWN, KEY_SECRET = "key-known", "key-secret"
#: Threat models of a system that stores protected templates, and what the attacker has in each.
THREATS = {
    KEY_KNOWN: "the templates, the scheme and the key",
    "key-stolen-late": "the templates, the scheme, and the attacker's own faces protected under the key, not the key",
    KEY_SECRET: "the templates and the scheme, not the key",
}

#: Option of a protection that names the attribute it learns to hide.
ATTRIBUTE = "attribute"


@dataclass(frozen=True, kw_only=True)
class ProtectionSpec(Spec):
    """A transform of descriptors before they are stored: ``target`` returns a :class:`faceinv.contracts.Protection`.

    ``target(context, **options)`` must check its options at once, and learn only when it is first used.

    Args:
        keys: Who has a key: ``"none"``, ``"system"`` (one for everybody) or ``"person"``.
        output: What a template consists of: ``"real"`` numbers or ``"binary"`` ones; ``"symbols"`` for whole numbers.
        renewed: Whether every template of a descriptor differs from the last although there are no keys, as noise makes
            it; the number of the template takes the place of the key.
        comparison: How templates are compared: ``"cosine"``, ``"hamming"`` (share of equal numbers) or ``"euclidean"``.
        differentiable: Whether gradients flow from templates to descriptors.
        attack: The best attack known, which its ``recover`` runs; empty if there is none, so that results are marked
            "not attacked adaptively".
        ranges: Lowest and highest value of options; ``"dim"`` stands for the length of a descriptor.
    """

    kind: ClassVar[str] = "protection"

    keys: str = "none"
    output: str = "real"
    renewed: bool = False
    comparison: str = "cosine"
    differentiable: bool = True
    attack: str = ""
    ranges: Mapping[str, tuple[float, float | str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (
            ("keys", ("none", "system", "person")),
            ("output", ("real", "binary", "symbols")),
            ("comparison", ("cosine", "hamming", "euclidean")),
        ):
            if getattr(self, name) not in allowed:
                given = getattr(self, name)
                raise ValueError(f"The {name} of protection '{self.name}' must be one of {allowed}, got {given!r}.")


@dataclass(frozen=True)
class ProtectionContext:
    """What a protection may know when it is built.

    Args:
        dim: Length of a descriptor.
        seed: Seed of whatever it draws that is not a key.
        examples: Returns descriptors ``(N, dim)`` of length 1 to learn from.
        labels: Returns the labels ``(N, k)`` of the examples, given the name of an attribute.
    """

    dim: int
    seed: int
    examples: Callable[[], Any]
    labels: Callable[[str], Any]
