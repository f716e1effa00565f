"""Which photographs show a target or a target's person, so that nothing may be learnt from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.data.targets import Targets
from faceinv.errors import InputError


def check_people(photographs: Dataset, name: str, source: Dataset) -> None:
    """Raise :class:`InputError` if targets come from the same photographs and nobody knows who is in them."""
    if photographs.identities is None and photographs.fingerprint() == source.fingerprint():
        raise InputError(
            f"The targets come from '{name}' too, and it names no people: photographs of a target's person could not "
            "be left out of --probe-data. Give each person a sub-folder, or take other photographs."
        )


def of_people(photographs: Dataset, targets: Targets) -> Tensor:
    """Return which photographs ``(N,)`` show a person who is a target.

    People are told by name, in other data sets too: two that share names by chance lose a few photographs.
    """
    people = set(targets.identities or ())
    found = [person in people for person in photographs.identities or ()] or [False] * len(photographs.ids)
    return torch.tensor(found, dtype=torch.bool)


def hashes_of(source: Dataset, targets: Targets) -> frozenset[str]:
    """Return the hashes of the targets' images as the data set holds them."""
    rows = {name: row for row, name in enumerate(source.ids)}
    return frozenset(source.image_hash(rows[name]) for name in targets.ids)


def of_hashes(
    photographs: Dataset,
    hashes: Collection[str],
    keep: Callable[[Callable[[], dict[str, Tensor]]], dict[str, Tensor]],
    progress: Reporter | None = None,
) -> Tensor:
    """Return which photographs ``(N,)`` have one of these hashes.

    Args:
        photographs: The photographs.
        hashes: Hashes of images, as :meth:`Dataset.image_hash` returns them.
        keep: Returns the tensors of an earlier call for the same photographs, or makes them.
        progress: Called with (what, done, of).
    """

    def make() -> dict[str, Tensor]:
        n = len(photographs.ids)
        known = torch.empty(n, dtype=torch.long)
        with ThreadPoolExecutor() as threads:
            for row, text in enumerate(threads.map(photographs.image_hash, range(n))):
                known[row] = _number(text)
                if progress:
                    progress("comparing photographs with the targets", row + 1, n)
        return {"hashes": known}

    wanted = torch.tensor([_number(text) for text in hashes], dtype=torch.long)
    return torch.isin(keep(make)["hashes"], wanted)


def _number(text: str) -> int:
    """Return 63 bits of a hash."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
