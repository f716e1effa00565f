"""Further photographs of the targets' people, for attacks that have several descriptors of a person."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector
from faceinv.contracts.specs import Framing
from faceinv.data.alignment import aligned_images
from faceinv.data.targets import Targets
from faceinv.errors import InputError


def choose_companions(
    dataset: Dataset,
    targets: Targets,
    framing: Framing,
    each: int,
    keep: Callable[[Tensor], None],
    *,
    detector: Detector | None,
) -> Targets:
    """Pass further photographs of each target's person to ``keep``, ``each`` of them, target by target.

    The person's first other photograph is never taken, because reconstructions are compared with it. The others are
    taken from the last one on, so that more of them include those of a run with fewer.

    Args:
        dataset: Where the targets come from.
        targets: The targets.
        framing: The generator's framing.
        each: Photographs of each target's person.
        keep: Takes each image.
        detector: Finds faces; needed only if the data set's framing is unknown or approximate.

    Raises:
        InputError: the data set names no people, or a person has too few usable photographs.
    """
    people = dataset.identities
    if people is None or targets.identities is None:
        raise InputError(
            "Several leaked descriptors of one person need people, and the data set names none; give each person a "
            "sub-folder."
        )
    taken = set(targets.ids)
    of_person: dict[str, list[int]] = {}
    for index, person in enumerate(people):
        if dataset.ids[index] not in taken:
            of_person.setdefault(person, []).append(index)
    used: list[int] = []
    for person in targets.identities:
        candidates = reversed(of_person.get(person, [])[1:])
        found = list(_usable(dataset, candidates, framing, detector, each))
        if len(found) < each:
            raise InputError(
                f"Only {len(found)} further photographs of {person} can be used, and {each} should leak besides the "
                "target: raise --min-photographs, or lower --leaked-per-person."
            )
        for index, image in found:
            keep(image)
            used.append(index)
    return Targets(
        ids=tuple(dataset.ids[index] for index in used),
        identities=tuple(people[index] for index in used),
        real=targets.real,
        skipped=(),
        aligned=targets.aligned,
    )


def _usable(
    dataset: Dataset, candidates: Iterable[int], framing: Framing, detector: Detector | None, count: int
) -> Iterable[tuple[int, Tensor]]:
    """Yield the first ``count`` photographs that can be used."""
    found = 0
    for index, image in aligned_images(dataset, candidates, framing, detector):
        if not isinstance(image, InputError):
            yield index, image
            found += 1
        if found == count:
            return
