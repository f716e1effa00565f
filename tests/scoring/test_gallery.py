"""Galleries: a few photographs of each person, embedded in batches; unusable ones are skipped."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from faceinv.contracts import Dataset, Framing
from faceinv.data.targets import Selection, Targets, choose_targets
from faceinv.errors import InputError
from faceinv.scoring.gallery import PER_PERSON, Gallery, gallery_of_dataset, gallery_of_people

FRAMING = Framing("frame", (4, 4), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)))
CPU = torch.device("cpu")


class People(Dataset):
    """Every pixel of image ``k`` is ``k / 100``, so that a descriptor identifies it."""

    framing = FRAMING

    def __init__(self, identities: Sequence[str] | None, n: int = 0, broken: Sequence[int] = ()) -> None:
        self.identities = identities
        self.ids = [f"image {k}" for k in range(n or len(identities or ()))]
        self.broken = broken

    def load(self, index: int) -> Tensor:
        if index in self.broken:
            raise InputError("no good")
        return torch.full((3, 4, 4), round(index * 2.55) / 255)


def encode(images: Tensor) -> Tensor:
    return images.flatten(1)[:, :1] * 100


def choose(dataset: Dataset, limit: int, real: bool = True) -> tuple[Targets, Tensor]:
    images: list[Tensor] = []
    targets = choose_targets(dataset, FRAMING, Selection(limit=limit), images.append, real=real)
    return targets, torch.stack(images)


def shown(descriptors: Tensor) -> list[int]:
    return [round(value) for value in descriptors[:, 0].tolist()]


def test_further_photographs_of_the_targets_people_come_behind_them() -> None:
    people = [*"ab", *"a" * 7, "c", "b"]
    dataset = People(people, broken=[3])
    targets, images = choose(dataset, limit=2)
    assert targets.ids == ("image 0", "image 1")
    seen: list[tuple[int, int]] = []
    found = gallery_of_people(
        targets, {"net": encode(images)}, dataset, FRAMING, {"net": encode}, detector=None, device=CPU,
        progress=lambda *at: seen.append(at),
    )  # fmt: skip
    # Targets first, then five of a without the broken one, and only the targets' people.
    assert found.places == (0, 1, 2, 4, 5, 6, 10)
    assert found.people == (0, 1, 0, 0, 0, 0, 1)
    assert shown(found.descriptors["net"]) == list(found.places)
    assert found.people.count(0) == PER_PERSON
    assert found.known
    assert seen[-1][0] == seen[-1][1] == 5


def test_without_identities_there_are_the_targets_alone() -> None:
    dataset = People(None, n=5)
    targets, images = choose(dataset, limit=3, real=False)
    embedded = {"net": encode(images)}
    found = gallery_of_people(targets, embedded, dataset, FRAMING, {"net": encode}, detector=None, device=CPU)
    assert (found.people, found.known, found.real) == ((0, 1, 2), False, False)


def test_a_data_set_gives_a_few_of_each_up_to_a_limit() -> None:
    dataset = People([*"a" * 9, *"bbc"], broken=[0])
    found = gallery_of_dataset(dataset, FRAMING, {"net": encode}, limit=7, real=True, detector=None, device=CPU)
    assert found.places == (1, 2, 3, 4, 5, 9, 10)
    assert found.people == (0, 0, 0, 0, 0, 1, 1)
    with pytest.raises(InputError, match="pairs of photographs, but only 1 of 2 can be used"):
        gallery_of_dataset(
            People("ab", broken=[1]), FRAMING, {"net": encode}, limit=9, real=True, detector=None, device=CPU
        )


def test_a_batch_is_embedded_at_a_time() -> None:
    sizes: list[int] = []

    def counted(images: Tensor) -> Tensor:
        sizes.append(len(images))
        return encode(images)

    dataset = People([str(k) for k in range(70)])
    found = gallery_of_dataset(dataset, FRAMING, {"net": counted}, limit=70, real=True, detector=None, device=CPU)
    assert sizes == [32, 32, 6]
    assert shown(found.descriptors["net"]) == list(range(70))


def test_a_large_gallery_is_cut_between_people() -> None:
    people = (0, 1, 2, 0, 0, 1, 2)
    whole = Gallery(people, tuple(range(7)), {"net": torch.arange(7.0)[:, None]}, known=True, real=True)
    part = whole.first_people(6)
    assert part.people == (0, 1, 0, 0, 1)
    assert part.places == (0, 1, 3, 4, 5)
    assert shown(part.descriptors["net"]) == [0, 1, 3, 4, 5]
    assert whole.first_people(7) is whole
