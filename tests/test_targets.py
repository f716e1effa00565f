"""Targets: every data set ends in the generator's framing; what cannot be used is said, counted and skipped."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from faceinv.contracts import Dataset, Detector, Faces, Framing
from faceinv.data.alignment import align_photograph
from faceinv.data.targets import Selection, Targets, choose_targets
from faceinv.errors import InputError, UsageError
from faceinv.framing import align, pixel_points, warp_between

POINTS = ((0.35, 0.4), (0.65, 0.4), (0.5, 0.6), (0.38, 0.78), (0.62, 0.78))
FRAMING = Framing("generator", (24, 24), POINTS)
LARGE = Framing("large", (60, 48), tuple((0.2 + 0.6 * x, 0.6 * y) for x, y in POINTS))


class Listed(Dataset):
    """Images held in a list; an error in it is raised instead."""

    def __init__(
        self,
        images: Sequence[Tensor | Exception],
        framing: Framing | None = None,
        identities: Sequence[str] | None = None,
    ) -> None:
        self.images = images
        self.ids = [f"image {k}" for k in range(len(images))]
        self.framing = framing
        self.identities = identities
        self.loaded: list[int] = []

    def load(self, index: int) -> Tensor:
        self.loaded.append(index)
        image = self.images[index]
        if isinstance(image, Exception):
            raise image
        return image


def photograph(seed: int, size: tuple[int, int] = (80, 100)) -> Tensor:
    return torch.rand(3, *size, generator=torch.Generator().manual_seed(seed))


def found_at(points: Tensor) -> Callable[[Tensor], Faces]:
    """A detector that sees a face in every image but a black one, and a smaller one beside it."""

    def detect(image: Tensor) -> Faces:
        n = 2 if image.max() > 0 else 0
        both = torch.stack([points, points / 3])[:n]
        return Faces(torch.zeros(n, 4), both, torch.ones(n))

    return detect


def choose(
    dataset: Dataset,
    *,
    detector: Detector | None = None,
    real: bool = True,
    progress: Callable[[int, int], None] | None = None,
    limit: int | None = None,
    per_person: int = 0,
    min_photographs: int = 1,
    skip: int = 0,
) -> tuple[Targets, list[Tensor]]:
    """The targets and their images."""
    images: list[Tensor] = []
    selection = Selection(limit=limit, per_person=per_person, min_photographs=min_photographs, skip=skip)
    targets = choose_targets(
        dataset, FRAMING, selection, images.append, real=real, detector=detector, progress=progress
    )
    return targets, images


CENTRE = torch.from_numpy(pixel_points(FRAMING)).float() * 2 + torch.tensor([20.0, 10.0])
detect = found_at(CENTRE)


def test_images_in_the_generators_framing_pass_through() -> None:
    image = photograph(0, FRAMING.size)
    same = Framing("another name", FRAMING.size, POINTS)
    targets, images = choose(Listed([image], same), real=False)
    # A target is what its file would hold: 8 bits a channel.
    assert torch.equal(images[0], image.mul(255).round().div(255))
    assert not targets.real


def test_another_framing_is_warped() -> None:
    image = photograph(0, LARGE.size)
    targets, images = choose(Listed([image], LARGE))
    torch.testing.assert_close(images[0], warp_between(LARGE, FRAMING)(image[None])[0], atol=0.51 / 255, rtol=0)
    assert targets.real


def test_an_unknown_framing_is_found_and_aligned() -> None:
    images = [photograph(0), photograph(1, (70, 90))]
    _, targets = choose(Listed(images), detector=detect)
    for image, target in zip(images, targets, strict=True):
        torch.testing.assert_close(target, align(image, CENTRE.numpy(), FRAMING), atol=0.51 / 255, rtol=0)


def test_what_cannot_be_used_is_named_and_the_limit_counts_what_can() -> None:
    dark = torch.zeros(3, 50, 60)
    broken = InputError("broken.jpg: the image cannot be decoded.")
    images = [photograph(0), broken, dark, photograph(1), photograph(2), photograph(3)]
    dataset = Listed(images, identities=list("abcdef"))
    seen: list[tuple[int, int]] = []
    targets, kept = choose(dataset, limit=3, detector=detect, progress=lambda done, of: seen.append((done, of)))
    assert targets.ids == ("image 0", "image 3", "image 4")
    assert targets.identities == ("a", "d", "e")
    assert [image.shape for image in kept] == [(3, 24, 24)] * 3
    assert targets.skipped == (
        ("image 1", str(broken)),
        ("image 2", "No face was found in the image of 60x50 pixels."),
    )
    assert dataset.loaded == [0, 1, 2, 3, 4]
    assert seen == [(1, 3), (2, 4), (3, 5), (4, 5), (5, 5)]


def test_an_image_that_is_not_of_its_data_sets_framing_is_skipped() -> None:
    images = [photograph(0, LARGE.size), photograph(1, (10, 10))]
    targets, _ = choose(Listed(images, LARGE))
    assert targets.ids == ("image 0",)
    assert "60x48" in targets.skipped[0][1]
    assert targets.identities is None


def test_nothing_to_use_is_an_error_that_says_why() -> None:
    with pytest.raises(InputError, match=r"None of the 2 images .* 'image 0': no good"):
        choose(Listed([InputError("no good"), InputError("nor this")]), detector=detect)
    with pytest.raises(InputError, match="no images"):
        choose(Listed([]), detector=detect)


def test_faces_cannot_be_found_without_a_detector() -> None:
    dataset = Listed([photograph(0)])
    with pytest.raises(UsageError, match="faceinv-mtcnn"):
        choose(dataset)
    assert dataset.loaded == []


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=f"{limit}; it must be at least 1"):
        choose(Listed([photograph(0)], LARGE), limit=limit)


def test_a_mistake_in_a_plugin_is_not_taken_for_a_bad_image() -> None:
    with pytest.raises(ZeroDivisionError):
        choose(Listed([ZeroDivisionError()]), detector=detect)


def test_the_most_prominent_face_is_taken() -> None:
    image = photograph(4)
    assert torch.equal(align_photograph(image, detect, FRAMING), align(image, CENTRE.numpy(), FRAMING))


def test_points_that_make_no_face_are_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be aligned"):
        align_photograph(photograph(0), found_at(torch.ones(5, 2)), FRAMING)


def test_a_batch_is_no_photograph() -> None:
    with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
        align_photograph(torch.zeros(1, 3, 20, 20), detect, FRAMING)


def test_targets_are_chosen_by_person() -> None:
    broken = InputError("no good")
    images = [broken, *(photograph(k, LARGE.size) for k in range(1, 7))]
    dataset = Listed(images, LARGE, identities=list("aaabccd"))
    chosen, _ = choose(dataset, limit=9, per_person=1, min_photographs=2)
    # A photograph that cannot be used gives its place to the person's next.
    assert chosen.ids == ("image 1", "image 4")
    assert chosen.identities == ("a", "c")
    assert chosen.skipped == (("image 0", "no good"),)
    assert dataset.loaded == [0, 1, 4]
    two, _ = choose(dataset, per_person=2)
    assert two.ids == tuple(f"image {k}" for k in (1, 2, 3, 4, 5, 6))


def test_targets_after_others_are_of_other_people_where_each_has_one() -> None:
    images = [InputError("no good"), *(photograph(k, LARGE.size) for k in range(1, 8))]
    dataset = Listed(images, LARGE, identities=list("aaabbccd"))
    rest, images_of_rest = choose(dataset, limit=9, per_person=1, min_photographs=2, skip=1)
    # The first usable one is passed over with its person.
    assert rest.ids == ("image 3", "image 5")
    _, images_of_all = choose(dataset, limit=9, per_person=1, min_photographs=2)
    torch.testing.assert_close(images_of_rest, images_of_all[1:])
    with pytest.raises(InputError, match="All 3 usable images of the data set are skipped"):
        choose(dataset, limit=9, per_person=1, min_photographs=2, skip=3)


def test_a_whole_data_set_cannot_be_skipped_into() -> None:
    dataset = Listed([photograph(k, LARGE.size) for k in range(3)], LARGE)
    with pytest.raises(UsageError, match="must be 0 or more"):
        choose(dataset, skip=-1)
    dataset.whole = True
    with pytest.raises(UsageError, match="used as a whole: --skip"):
        choose(dataset, limit=3, skip=1)
    assert dataset.loaded == []


def test_a_choice_by_person_needs_people() -> None:
    nobody = Listed([photograph(0, LARGE.size)], LARGE)
    with pytest.raises(UsageError, match="has no identities"):
        choose(nobody, per_person=1)
    few = Listed([photograph(0, LARGE.size)], LARGE, identities=["a"])
    with pytest.raises(InputError, match=r"Nobody has 3 photographs.*most that one person has is 1"):
        choose(few, min_photographs=3)
