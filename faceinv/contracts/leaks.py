"""How a config says what leaks of a descriptor and what the attacker knows; imports no torch."""

from __future__ import annotations

from dataclasses import dataclass

from faceinv.errors import UsageError, suggest

#: How a leak is written, by kind.
FORMS = {
    "descriptor": "descriptor",
    "dims": "dims:N[:first|random|principal]",
    "bits": "bits:N",
    "scores": "scores:N",
    "decisions": "decisions:N",
}
#: Kinds of which the attacker sees a part of the descriptor itself, not answers about it.
PARTS = ("dims", "bits")
WHICH = ("first", "random", "principal")
#: Fewest pairs that a map is fitted to.
FEWEST_PAIRS = 10
#: Ways to use several descriptors of a person: one is made of them, or the objectives of all are added up (``sum``).
FUSIONS = ("mean", "robust", "drop", "sum")
#: How the attacker's knowledge is written.
KNOWLEDGE = ("encoder", "pairs:N")
#: Most bits of a number, and most answers of a system.
_MOST_BITS, _MOST_SCORES, _MOST_DECISIONS = 16, 4000, 100_000


@dataclass(frozen=True)
class Leak:
    """A part of a descriptor, or answers about it.

    Args:
        kind: ``"dims"``, ``"bits"``, ``"scores"`` or ``"decisions"``.
        n: Numbers of the descriptor, bits of each number, scores, or decisions.
        which: Of dims, which ones.
    """

    kind: str
    n: int
    which: str = ""

    def __str__(self) -> str:
        """Return the leak as it is written in a config."""
        return ":".join(filter(None, (self.kind, str(self.n), self.which)))


def parse_leak(text: str, dim: int) -> Leak | None:
    """Return the leak that ``text`` names; ``None`` for the whole descriptor.

    Args:
        text: One of :data:`FORMS`.
        dim: Length of a whole descriptor.

    Raises:
        UsageError: if there is no such leak, or its number is out of range.
    """
    kind, *rest = text.split(":")
    if kind not in FORMS:
        raise UsageError(f"Unknown leak '{text}'.{suggest(kind, FORMS)} Allowed: {', '.join(FORMS.values())}.")
    if kind == "descriptor" and not rest:
        return None
    limits = {"dims": dim, "bits": _MOST_BITS, "scores": _MOST_SCORES, "decisions": _MOST_DECISIONS}
    most = limits.get(kind, 0)
    which = rest[1] if kind == "dims" and len(rest) == 2 else "first" if kind == "dims" else ""
    well_formed = (
        kind != "descriptor" and bool(rest) and rest[0].isdecimal() and len(rest) <= (2 if kind == "dims" else 1)
    )
    if not well_formed or (which and which not in WHICH):
        raise UsageError(f"The leak '{text}' is not written as {FORMS[kind]}.")
    if not 1 <= int(rest[0]) <= most:
        of = f" of the encoder's {dim} numbers" if kind == "dims" else ""
        raise UsageError(f"The leak '{text}' must have between 1 and {most:,}{of}.")
    return Leak(kind, int(rest[0]), which)


def parse_knowledge(text: str) -> int:
    """Return the number of pairs that an attacker has in place of the encoder; 0 for the encoder itself.

    Raises:
        UsageError: if it is not written as one of :data:`KNOWLEDGE`, or the pairs are too few to fit a map.
    """
    if text == "encoder":
        return 0
    kind, _, number = text.partition(":")
    if kind != "pairs" or not number.isdecimal():
        raise UsageError(
            f"Unknown knowledge '{text}'.{suggest(kind, ('encoder', 'pairs'))} Allowed: {', '.join(KNOWLEDGE)}."
        )
    if int(number) < FEWEST_PAIRS:
        raise UsageError(f"The knowledge '{text}' must have at least {FEWEST_PAIRS} pairs to fit a map.")
    return int(number)
