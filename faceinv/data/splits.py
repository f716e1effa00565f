"""Training, validation and test splits that share no person."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from faceinv.contracts.data import Dataset
from faceinv.errors import InputError

#: The splits, and the share of the people in each if a data set does not define its own.
SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


def hashed_splits(people: Iterable[str]) -> tuple[str, ...]:
    """Return a split for each image by the hash of its person, so that adding photographs moves nobody.

    Args:
        people: The person in each image; the image's id if that is unknown.
    """
    parts: dict[str, str] = {}
    return tuple(parts[person] if person in parts else parts.setdefault(person, _part(person)) for person in people)


def parts_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the split of each image; without a validation split, it is a tenth of the training people.

    Every image is a person of its own if the data set names none.
    """
    hashed = hashed_splits(dataset.identities or dataset.ids)
    given = dataset.splits
    if given is None or "val" in given:
        return tuple(given or hashed)
    return tuple("val" if own == "train" and part == "val" else own for own, part in zip(given, hashed, strict=True))


def check_disjoint(splits: Sequence[str], identities: Sequence[str] | None, source: str) -> None:
    """Raise :class:`InputError` if a person is in two splits.

    Args:
        splits: A split for each image.
        identities: The person in each image, if known.
        source: Where the splits come from, for the message.
    """
    seen: dict[str, str] = {}
    for person, part in zip(identities or (), splits, strict=bool(identities)):
        if seen.setdefault(person, part) != part:
            raise InputError(
                f"{source}: '{person}' is in '{seen[person]}' and in '{part}'; a person must be in one split only, "
                "otherwise people seen in training would be tested."
            )


def _part(person: str) -> str:
    place = int.from_bytes(hashlib.sha256(f"faceinv split {person}".encode()).digest()[:8], "big") / 2**64
    for part, share in SHARES.items():
        place -= share
        if place < 0:
            return part
    return "test"
