"""Labeled Faces in the Wild in its official layout."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext, Framing
from faceinv.data import (
    Listing,
    content_fingerprint,
    has_images,
    hashed_splits,
    list_images,
    match_images,
    printable,
    read_image,
    read_labels,
)
from faceinv.errors import InputError, UsageError
from faceinv_lfw.lists import photograph_id, read_people

#: Folders that the official archives unpack to, by alignment.
FOLDERS = {
    "deepfunneled": ("lfw-deepfunneled", "lfw_deepfunneled"),
    "funneled": ("lfw_funneled", "lfw-funneled"),
    "original": ("lfw",),
}

#: Mean points that MTCNN finds in photographs of 1,000 development people, made symmetric:
#: ``python benchmarks/lfw_framing.py PATH/TO/lfw --people 1000``. Standard deviations of single faces: 8 % in scale,
#: 2.6 degrees in angle, 3 pixels in either direction.
DEEP_FUNNELED = Framing(
    name="lfw-deepfunneled-250",
    size=(250, 250),
    points=((0.419, 0.450), (0.588, 0.450), (0.504, 0.548), (0.428, 0.634), (0.579, 0.634)),
)

#: The middle 150x150 pixels. Deep funneling rotates and shifts the frame and fills the uncovered part with black; in 94
#: of 100 photographs neither this black nor a black background reaches into the box.
CLEAN_BOX = (0.2, 0.2, 0.8, 0.8)


class LFW(Dataset):
    """The photographs below ``lfw-deepfunneled/``, ``lfw_funneled/`` or ``lfw/``, in the order of their names.

    An image's id is ``Name/Name_0001.jpg`` and its identity ``Name``. Annotations come from every CSV file next to the
    folder that has a column ``image``, and from the run's labels file; they are unknown for images without a row.
    With both people lists of View 1, its test people are the test split and a tenth of the others, by the hash of the
    name, are for validation; without the lists, all people are split by the hash. Images that a list names but the
    folder lacks are reported.

    Args:
        path: The folder that holds the folder of photographs and the lists, or the folder of photographs itself.
        context: Has the labels file, if there is one.
        alignment: ``"deepfunneled"``, ``"funneled"`` or ``"original"``.

    Raises:
        UsageError: no path is given, or the alignment does not exist.
        InputError: the photographs are missing, or a list or a labels file is invalid.
    """

    def __init__(
        self, path: Path | None, *, context: DatasetContext | None = None, alignment: str = "deepfunneled"
    ) -> None:
        if path is None:
            raise UsageError("The data set 'lfw' needs a path: lfw:PATH.")
        if alignment not in FOLDERS:
            raise UsageError(f"LFW has no alignment '{alignment}'. Allowed: {', '.join(FOLDERS)}.")
        self._photographs, self._root = _find(path.expanduser(), alignment)
        listing = list_images(self._photographs)
        self._paths = {printable(path): path for path in sorted(listing.images) if _is_photograph(path)}
        if not self._paths:
            raise InputError(f"{self._photographs} holds no photographs; expected files such as Name/Name_0001.jpg.")
        self.ids = tuple(self._paths)
        self.identities = tuple(name.partition("/")[0] for name in self.ids)
        self.skipped = tuple((printable(path), reason) for path, reason in _left_out(listing))
        if alignment == "deepfunneled":
            self.framing, self.framing_is_approximate, self.clean_box = DEEP_FUNNELED, True, CLEAN_BOX
        self._take_lists()
        self._take_labels(context.labels if context else None)

    def fingerprint(self) -> str:
        """Return a hash of the ids and of the contents of the files."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        return content_fingerprint(self.ids, [self._photographs / path for path in self._paths.values()])

    def load(self, index: int) -> Tensor:
        """Return photograph ``index`` as ``(3, 250, 250)`` in ``[0, 1]``.

        Raises:
            InputError: the image cannot be decoded.
        """
        return read_image(self._photographs / self._paths[self.ids[index]])

    def _take_lists(self) -> None:
        here = set(self.ids)
        people: dict[str, set[str]] = {}
        for name in ("peopleDevTrain.txt", "peopleDevTest.txt"):
            path = self._root / name
            if not path.is_file():
                continue
            listed = [person for fold in read_people(path) for person in fold]
            people[name] = {person.name for person in listed}
            wanted = (photograph_id(person.name, k + 1) for person in listed for k in range(person.photographs))
            missing = [image for image in wanted if image not in here]
            self.skipped = (
                *self.skipped,
                *((image, f"{name} lists it, but there is no such image.") for image in missing),
            )
        assert self.identities is not None
        parts = hashed_splits(self.identities)
        test = people.get("peopleDevTest.txt", set())
        if people.get("peopleDevTrain.txt") and test & set(self.identities):
            parts = tuple(
                "test" if person in test else "train" if part == "test" else part
                for person, part in zip(self.identities, parts, strict=True)
            )
        self.splits = parts

    def _take_labels(self, given: Path | None) -> None:
        files = [path for path in sorted(self._root.glob("*.csv")) if has_images(path)]
        if given is not None and given.expanduser().resolve() not in [path.resolve() for path in files]:
            files.append(given.expanduser())
        annotations: dict[str, Tensor] = {}
        owner: dict[str, Path] = {}
        for path in files:
            labels = read_labels(path)
            if labels.splits is not None:
                raise InputError(
                    f"{path}: has a column 'split', but LFW is split by View 1's lists; use folder:PATH instead."
                )
            match = match_images(labels, self.ids)
            for name, column in labels.annotations.items():
                if name in annotations:
                    raise InputError(f"{path}: the column '{name}' is also in {owner[name]}; rename one of them.")
                annotations[name], owner[name] = match.take(column), path
            unmatched = (
                (labels.images[row], f"{path} lists it, but there is no such image.") for row in match.unmatched
            )
            self.skipped = (*self.skipped, *unmatched)
        self.annotations = annotations


def _find(path: Path, alignment: str) -> tuple[Path, Path]:
    """Return the folder of photographs and the folder of the lists."""
    if not path.is_dir():
        raise InputError(f"The folder of LFW '{path}' {'is a file' if path.exists() else 'does not exist'}.")
    if path.name in FOLDERS[alignment] and not any((path / name).is_dir() for name in FOLDERS[alignment]):
        return path, path.resolve().parent
    for name in FOLDERS[alignment]:
        if (path / name).is_dir():
            return path / name, path
    others = [other for other, names in FOLDERS.items() if any((path / name).is_dir() for name in names)]
    hint = f" It has the {others[0]} photographs: lfw.{others[0]}:{path}." if others else ""
    raise InputError(f"{path} holds no folder '{FOLDERS[alignment][0]}', which the official archive unpacks to.{hint}")


def _is_photograph(path: str) -> bool:
    """Return whether a path is that of a photograph: the files in a person's folder start with the person's name."""
    person, _, name = path.partition(os.sep)
    return name.startswith(f"{person}_") and os.sep not in name


def _left_out(listing: Listing) -> list[tuple[str, str]]:
    strange = [path for path in listing.images if not _is_photograph(path)]
    reason = "It is not named as a photograph of LFW, Name/Name_0001.jpg."
    return [*listing.skipped, *((path, reason) for path in strange), *listing.remark()]
