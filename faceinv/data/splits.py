"""Train, validation and test parts that share no person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from faceinv.errors import InputError

#: The parts, and the share of the people that each gets where a data set does not say.
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def hashed_splits(people: Iterable[str]) -> tuple[str, ...]:
    """Return a part for each image, by the hash of who is in it.

    A person is in one part whatever other people there are: adding photographs moves nobody.

    Args:
        people: Who is in each image; the image's id where that is not known.
    """
    parts: dict[str, str] = {}
    return tuple(parts[person] if person in parts else parts.setdefault(person, _part(person)) for person in people)


def check_disjoint(splits: Sequence[str], identities: Sequence[str] | None, source: str) -> None:
    """Raise :class:`InputError` if a person is in two parts: what is known from training is no test.

    Args:
        splits: A part for each image.
        identities: Who is in each image, if that is known.
        source: Where the parts come from, for the message.
    """
    seen: dict[str, str] = {}
    for person, part in zip(identities or (), splits, strict=bool(identities)):
        if seen.setdefault(person, part) != part:
            raise InputError(
                f"{source}: '{person}' is in '{seen[person]}' and in '{part}'; a person must be in one part alone, "
                "or the test would ask for what was trained on."
            )


def _part(person: str) -> str:
    place = int.from_bytes(hashlib.sha256(f"faceinv split {person}".encode()).digest()[:8], "big") / 2**64
    for part, share in SHARES.items():
        place -= share
        if place < 0:
            return part
    return "test"
