"""Descriptors of photographs of known people: reconstructions are compared with them, and encoders judged on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector
from faceinv.contracts.specs import Framing
from faceinv.data.alignment import aligned_images
from faceinv.data.targets import Targets
from faceinv.errors import InputError
from faceinv.scoring.pairs import BATCH, embed_all

#: Maximum number of photographs of one person: somebody with hundreds would outweigh all others in the scores.
PER_PERSON = 5
#: Maximum number of photographs of the targets' people that encoders are judged on. The number of pairs grows with
#: the square; two million of them give 200 false matches at the lowest rate.
JUDGED = 2000

Encode = Callable[[Tensor], Tensor]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Gallery:
    """Descriptors of photographs, and the people in them.

    Args:
        people: The person in each of the ``N`` photographs, numbered from 0 in order of appearance.
        places: Index of each photograph in its data set.
        descriptors: ``(N, D)`` by encoder name, on the CPU.
        known: Whether the data set has identities; if not, each photograph counts as another person.
        real: Whether they are photographs, as opposed to samples of a generator.
        leaked: Of each target the places of further photographs whose descriptors leaked too: reconstructions are not
            compared with them. Empty if none did.
    """

    people: tuple[int, ...]
    places: tuple[int, ...]
    descriptors: Mapping[str, Tensor]
    known: bool
    real: bool
    leaked: tuple[frozenset[int], ...] = ()

    def __len__(self) -> int:
        return len(self.people)

    def joined(self, descriptors: Mapping[str, Tensor]) -> Gallery:
        """Return the gallery with the descriptors of further encoders of the same photographs."""
        return replace(self, descriptors={**self.descriptors, **descriptors})

    def first_people(self, photographs: int) -> Gallery:
        """Return the gallery of the first people who have at most ``photographs`` in total, but at least two people."""
        if len(self) <= photographs:
            return self
        counts = Counter(self.people)
        taken, number = 0, 0
        while number < 2 or taken + counts[number] <= photographs:
            taken, number = taken + counts[number], number + 1
        rows = [row for row, person in enumerate(self.people) if person < number]
        return replace(
            self,
            people=tuple(self.people[row] for row in rows),
            places=tuple(self.places[row] for row in rows),
            descriptors={name: descriptors[rows] for name, descriptors in self.descriptors.items()},
        )


def gallery_of_targets(targets: Targets, descriptors: Mapping[str, Tensor]) -> Gallery:
    """Return a gallery of the targets alone; row ``k`` is target ``k``.

    Args:
        targets: Who is in them.
        descriptors: Their descriptors, ``(N, D)`` by encoder name, on the CPU.
    """
    people = _numbered(targets.identities if targets.identities is not None else targets.ids)
    return Gallery(people, tuple(range(len(people))), descriptors, targets.identities is not None, targets.real)


def gallery_of_people(
    targets: Targets,
    descriptors: Mapping[str, Tensor],
    dataset: Dataset,
    framing: Framing,
    encoders: Mapping[str, Encode],
    *,
    detector: Detector | None,
    device: torch.device,
    progress: Progress | None = None,
) -> Gallery:
    """Return a gallery of the targets, followed by further photographs of the same people in the data set.

    Args:
        targets: The targets; they come first, in their order.
        descriptors: Their descriptors, ``(N, D)`` by encoder name, on the CPU.
        dataset: The data set they come from.
        framing: The generator's framing, which every photograph is brought into.
        encoders: Encoders of images in that framing, by name.
        detector: Finds faces; needed only if the data set's framing is unknown or approximate.
        device: Where the encoders are.
        progress: Called with the number of photographs done, and the expected total.
    """
    first = gallery_of_targets(targets, descriptors)
    place = {name: index for index, name in enumerate(dataset.ids)}
    places = tuple(place[name] for name in targets.ids)
    first = replace(first, places=places)
    if targets.identities is None or dataset.identities is None:
        return first
    number = dict(zip(targets.identities, first.people, strict=True))
    left_out = set(places) | {place[name] for name, _ in targets.skipped}
    taken = Counter(targets.identities)
    candidates = [index for index, who in enumerate(dataset.identities) if who in number and index not in left_out]
    usable = _usable(dataset, candidates, framing, detector, taken, None, progress)
    further, embedded = _embed(usable, encoders, device)
    who = dataset.identities
    return Gallery(
        people=first.people + tuple(number[who[index]] for index in further),
        places=first.places + tuple(further),
        descriptors={
            name: torch.cat([first.descriptors[name], *([embedded[name]] if further else [])]) for name in encoders
        },
        known=True,
        real=first.real,
    )


def gallery_of_dataset(
    dataset: Dataset,
    framing: Framing,
    encoders: Mapping[str, Encode],
    *,
    limit: int,
    real: bool,
    detector: Detector | None,
    device: torch.device,
    progress: Progress | None = None,
) -> Gallery:
    """Return a gallery of the first usable photographs of a data set, at most :data:`PER_PERSON` of each person.

    The other arguments are those of :func:`gallery_of_people`.

    Args:
        limit: Maximum number of photographs.
        real: Whether they are photographs.

    Raises:
        InputError: fewer than two photographs can be used.
    """
    usable = _usable(dataset, range(len(dataset.ids)), framing, detector, Counter(), limit, progress)
    places, descriptors = _embed(usable, encoders, device)
    if len(places) < 2:
        raise InputError(
            f"Encoders are judged on pairs of photographs, but only {len(places)} of {len(dataset.ids)} can be used."
        )
    names = dataset.identities if dataset.identities is not None else dataset.ids
    people = _numbered([names[index] for index in places])
    return Gallery(people, tuple(places), descriptors, dataset.identities is not None, real)


def _usable(
    dataset: Dataset,
    candidates: Sequence[int],
    framing: Framing,
    detector: Detector | None,
    taken: Counter[str],
    limit: int | None,
    progress: Progress | None,
) -> Iterator[tuple[int, Tensor]]:
    """Yield photographs with their indices until each person has :data:`PER_PERSON`, or there are ``limit``."""
    names = dataset.identities if dataset.identities is not None else dataset.ids
    # The number of photographs if all can be used.
    available = Counter(names[index] for index in candidates)
    total = sum(min(count, max(0, PER_PERSON - taken[name])) for name, count in available.items())
    total = total if limit is None else min(limit, total)
    found = 0
    for index, image in aligned_images(dataset, candidates, framing, detector, per_person=PER_PERSON, taken=taken):
        if isinstance(image, InputError):
            continue
        found += 1
        if progress is not None:
            progress(found, max(total, found))
        yield index, image
        if found == limit:
            return


def _embed(
    images: Iterable[tuple[int, Tensor]], encoders: Mapping[str, Encode], device: torch.device
) -> tuple[list[int], dict[str, Tensor]]:
    """Embed images batch by batch as they arrive, so that they need not fit into memory."""
    places: list[int] = []
    batch: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {name: [] for name in encoders}

    def flush() -> None:
        if batch:
            stacked = torch.stack(batch)
            for name, encode in encoders.items():
                parts[name].append(embed_all(encode, stacked, device=device))
            batch.clear()

    for place, image in images:
        places.append(place)
        batch.append(image)
        if len(batch) == BATCH:
            flush()
    flush()
    return places, {name: torch.cat(part) if part else torch.empty(0) for name, part in parts.items()}


def _numbered(names: Sequence[str]) -> tuple[int, ...]:
    numbers: dict[str, int] = {}
    return tuple(numbers.setdefault(name, len(numbers)) for name in names)
