"""Targets: images of any data set, in the generator's framing; unusable ones are counted and skipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceinv.contracts import Dataset, Detector, Faces, Framing
from faceinv.data.alignment import align_photograph
from faceinv.data.images import read_image
from faceinv.data.targets import Selection, Targets, choose_targets, target_files
from faceinv.errors import InputError, UsageError
from faceinv.framing import align, pixel_points, warp_between

POINTS = ((0.35, 0.4), (0.65, 0.4), (0.5, 0.6), (0.38, 0.78), (0.62, 0.78))
FRAMING = Framing("generator", (24, 24), POINTS)
LARGE = Framing("large", (60, 48), tuple((0.2 + 0.6 * x, 0.6 * y) for x, y in POINTS))


class Listed(Dataset):
    """Images in a list; an exception in it is raised when it is loaded."""

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
    """A detector that finds two faces, the second one smaller, in every image that is not black."""

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
    """Return the targets and their images."""
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
    # A target equals its file: 8 bits per channel.
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


def test_unusable_images_are_named_and_do_not_count_for_the_limit() -> None:
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


def test_an_image_of_another_size_than_its_data_sets_framing_is_skipped() -> None:
    images = [photograph(0, LARGE.size), photograph(1, (10, 10))]
    targets, _ = choose(Listed(images, LARGE))
    assert targets.ids == ("image 0",)
    assert "60x48" in targets.skipped[0][1]
    assert targets.identities is None


def test_no_usable_image_is_an_error_with_the_reason() -> None:
    with pytest.raises(InputError, match=r"None of the 2 images .* 'image 0': no good"):
        choose(Listed([InputError("no good"), InputError("nor this")]), detector=detect)
    with pytest.raises(InputError, match="no images"):
        choose(Listed([]), detector=detect)


def test_faces_cannot_be_detected_without_a_detector() -> None:
    dataset = Listed([photograph(0)])
    with pytest.raises(UsageError, match="faceinv-plugins"):
        choose(dataset)
    assert dataset.loaded == []


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match=f"{limit}; it must be at least 1"):
        choose(Listed([photograph(0)], LARGE), limit=limit)


def test_a_plugins_bug_is_not_mistaken_for_a_bad_image() -> None:
    with pytest.raises(ZeroDivisionError):
        choose(Listed([ZeroDivisionError()]), detector=detect)


def test_the_most_prominent_face_is_taken() -> None:
    image = photograph(4)
    assert torch.equal(align_photograph(image, detect, FRAMING), align(image, CENTRE.numpy(), FRAMING))


def test_points_that_cannot_be_a_face_are_an_input_error() -> None:
    with pytest.raises(InputError, match="cannot be aligned"):
        align_photograph(photograph(0), found_at(torch.ones(5, 2)), FRAMING)


def test_a_batch_is_not_a_photograph() -> None:
    with pytest.raises(InputError, match=r"\(B, 3, H, W\)"):
        align_photograph(torch.zeros(1, 3, 20, 20), detect, FRAMING)


def test_targets_are_chosen_by_person() -> None:
    broken = InputError("no good")
    images = [broken, *(photograph(k, LARGE.size) for k in range(1, 7))]
    dataset = Listed(images, LARGE, identities=list("aaabccd"))
    chosen, _ = choose(dataset, limit=9, per_person=1, min_photographs=2)
    # A person's next photograph replaces one that cannot be used.
    assert chosen.ids == ("image 1", "image 4")
    assert chosen.identities == ("a", "c")
    assert chosen.skipped == (("image 0", "no good"),)
    assert dataset.loaded == [0, 1, 4]
    two, _ = choose(dataset, per_person=2)
    assert two.ids == tuple(f"image {k}" for k in (1, 2, 3, 4, 5, 6))


def test_skipped_targets_count_for_their_person() -> None:
    images = [InputError("no good"), *(photograph(k, LARGE.size) for k in range(1, 8))]
    dataset = Listed(images, LARGE, identities=list("aaabbccd"))
    rest, images_of_rest = choose(dataset, limit=9, per_person=1, min_photographs=2, skip=1)
    # The first usable photograph is skipped, and with it its person.
    assert rest.ids == ("image 3", "image 5")
    _, images_of_all = choose(dataset, limit=9, per_person=1, min_photographs=2)
    torch.testing.assert_close(images_of_rest, images_of_all[1:])
    with pytest.raises(InputError, match="All 3 usable images of the data set are skipped"):
        choose(dataset, limit=9, per_person=1, min_photographs=2, skip=3)


def test_a_data_set_that_must_be_whole_cannot_be_skipped_into() -> None:
    dataset = Listed([photograph(k, LARGE.size) for k in range(3)], LARGE)
    with pytest.raises(UsageError, match="must be 0 or more"):
        choose(dataset, skip=-1)
    dataset.whole = True
    with pytest.raises(UsageError, match="used as a whole: --skip"):
        choose(dataset, limit=3, skip=1)
    assert dataset.loaded == []


def test_selection_by_person_needs_identities() -> None:
    nobody = Listed([photograph(0, LARGE.size)], LARGE)
    with pytest.raises(UsageError, match="has no identities"):
        choose(nobody, per_person=1)
    few = Listed([photograph(0, LARGE.size)], LARGE, identities=["a"])
    with pytest.raises(InputError, match=r"Nobody has 3 photographs.*most that one person has is 1"):
        choose(few, min_photographs=3)


def test_targets_are_kept_as_files_and_chosen_once(tmp_path: Path) -> None:
    dataset = Listed([photograph(k, LARGE.size) for k in range(3)], LARGE, identities=list("aab"))

    def select(keep: Callable[[Tensor], None]) -> Targets:
        return choose_targets(dataset, FRAMING, Selection(limit=2), keep, real=True)

    made = target_files(tmp_path / "targets", select)
    _, images = choose(dataset, limit=2)
    assert torch.equal(made.images(range(2)), torch.stack(images))
    assert (made.ids, made.identities, made.aligned) == (("image 0", "image 1"), ("a", "a"), "large")
    dataset.loaded.clear()
    assert target_files(tmp_path / "targets", select) == made
    assert dataset.loaded == []
    # Without its index, a folder is incomplete.
    (tmp_path / "targets" / "index.json").unlink()
    assert target_files(tmp_path / "targets", select) == made
    assert dataset.loaded == [0, 1]


def harm_cut(folder: Path) -> None:
    (folder / "00001.png").write_bytes((folder / "00001.png").read_bytes()[:-9])


def harm_swap(folder: Path) -> None:
    (folder / "00001.png").write_bytes((folder / "00000.png").read_bytes())


def harm_remove(folder: Path) -> None:
    (folder / "00000.png").unlink()


def harm_edit(folder: Path) -> None:
    text = (folder / "index.json").read_text()
    (folder / "index.json").write_text(text.replace("image 1", "image 2"))


def harm_index(folder: Path) -> None:
    (folder / "index.json").write_text("[1]")


@pytest.mark.parametrize("harm", [harm_cut, harm_swap, harm_remove, harm_edit, harm_index])
def test_targets_that_are_not_as_written_are_made_again(tmp_path: Path, harm: Callable[[Path], None]) -> None:
    dataset = Listed([photograph(k, LARGE.size) for k in range(2)], LARGE)

    def select(keep: Callable[[Tensor], None]) -> Targets:
        return choose_targets(dataset, FRAMING, Selection(limit=2), keep, real=True)

    made = target_files(tmp_path / "targets", select)
    images = made.images(range(2))
    harm(tmp_path / "targets")
    remarks: list[str] = []
    assert target_files(tmp_path / "targets", select, remarks.append) == made
    assert torch.equal(made.images(range(2)), images)
    assert remarks == [f"{tmp_path / 'targets'}: a target is damaged or missing; all are made again."]


def test_a_file_that_went_away_is_a_skipped_target() -> None:
    gone = FileNotFoundError(2, "No such file or directory")
    targets, _ = choose(Listed([gone, photograph(1, LARGE.size)], LARGE))
    assert targets.skipped == (("image 0", "The image cannot be read: No such file or directory."),)
    assert targets.ids == ("image 1",)


def test_a_target_is_linked_or_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Listed([photograph(0, LARGE.size)], LARGE)
    made = target_files(
        tmp_path / "targets",
        lambda keep: choose_targets(dataset, FRAMING, Selection(limit=1), keep, real=True),
    )
    made.link(0, tmp_path / "linked.png")
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("not supported")))
    made.link(0, tmp_path / "copied.png")
    made.link(0, tmp_path / "linked.png")
    for name in ("linked.png", "copied.png"):
        assert torch.equal(read_image(tmp_path / name), made.images(range(1))[0])
