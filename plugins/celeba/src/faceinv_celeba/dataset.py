"""CelebA's images, each aligned by its own landmarks, with their attributes, identities and splits."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext, Framing
from faceinv.data import check_disjoint, combined, decode_image, digests
from faceinv.errors import InputError, UsageError
from faceinv.framing import align
from faceinv_celeba.files import PARTS, Archive, find, read_attributes, read_column, read_landmarks, required

#: CelebA's own alignment: mean points of ``list_landmarks_align_celeba.txt`` over all images, rounded to pixels.
ALIGNED = Framing(
    name="celeba-178x218",
    size=(218, 178),
    points=(
        (69.5 / 178, 111.5 / 218),
        (108.5 / 178, 111.5 / 218),
        (88.5 / 178, 136.5 / 218),
        (72.5 / 178, 152.5 / 218),
        (105.5 / 178, 152.5 / 218),
    ),
)

#: Frame that uncropped photographs are brought into: with room around the face for the crop of any encoder, in which
#: VGGFace2's, 224 pixels wide, has about as many pixels.
PORTRAIT = Framing(
    name="celeba-portrait-336",
    size=(336, 336),
    points=((0.370, 0.420), (0.630, 0.420), (0.500, 0.543), (0.385, 0.653), (0.615, 0.653)),
)

#: Number of test images in the paper (section 3.4), of 202,599.
PAPER_TEST = 15_000

#: Framing, folder and landmarks of each kind of images.
FRAMES = {
    "aligned": (ALIGNED, "img_align_celeba", "list_landmarks_align_celeba.txt"),
    "uncropped": (PORTRAIT, "img_celeba", "list_landmarks_celeba.txt"),
}


class CelebA(Dataset):
    """The images in the order of ``list_attr_celeba.txt``.

    Each aligned image is moved by its own five points, those of ``list_landmarks_align_celeba.txt``, to where the
    framing has them; without that file it stays as it is, and the framing holds on average. An uncropped photograph is
    brought into :data:`PORTRAIT` by its points in ``list_landmarks_celeba.txt``; beyond its edge, the edge is repeated.

    Annotations are the 40 attributes in lower case, such as ``smiling``, as 0 and 1. Images without a row and rows
    without an image are skipped and reported.

    The split ``"official"`` is that of ``list_eval_partition.txt``. ``"paper"`` has about 188,000 images for training
    and validation and 15,000 for the test. The paper does not name its test images, so people of the official test
    part are taken in the order of the hash of their number until 15,000 images are reached; the official validation
    part is kept, and all other images are for training. Both splits are disjoint by identity.

    Args:
        path: The folder with the text files and ``img_align_celeba`` or ``img_celeba``, each a folder or a ZIP file, or
            with the official ``Anno``, ``Eval`` and ``Img``.
        context: Unused: the images are the same for every run.
        split: ``"official"`` or ``"paper"``.
        images: ``"aligned"``, or ``"uncropped"`` for the photographs as they were collected.

    Raises:
        UsageError: no path is given, or there is no such split or kind of images.
        InputError: a file is missing or invalid; the message names it.
    """

    framing: Framing

    def __init__(
        self,
        path: Path | None,
        *,
        context: DatasetContext | None = None,
        split: str = "official",
        images: str = "aligned",
    ) -> None:
        if path is None:
            raise UsageError("The data set 'celeba' needs a path: celeba:PATH.")
        if split not in ("official", "paper"):
            raise UsageError(f"CelebA has no split '{split}'. Allowed: official, paper.")
        if images not in FRAMES:
            raise UsageError(f"CelebA has no images '{images}'. Allowed: {', '.join(FRAMES)}.")
        self.framing, folder, landmarks = FRAMES[images]
        root = path.expanduser()
        if not root.is_dir():
            raise InputError(f"The folder of CelebA '{path}' {'is a file' if root.exists() else 'does not exist'}.")
        attributes = required(root, "list_attr_celeba.txt", "attributes")
        partition = required(root, "list_eval_partition.txt", "partition")
        self._archive = Archive(find(root, folder) or required(root, f"{folder}.zip", f"{images} images"))
        self._rows(*read_attributes(attributes), attributes.name)
        listed = required(root, landmarks, "landmarks") if images == "uncropped" else find(root, landmarks)
        self._points = None if listed is None else read_landmarks(listed)
        if self._points is not None and (missing := next((name for name in self.ids if name not in self._points), "")):
            raise InputError(f"{listed} has no line for '{missing}'.")
        self.identities = self._identities(root, split)
        self.splits = _official(read_column(partition, "part"), self.ids, partition)
        if self.identities is not None:
            check_disjoint(self.splits, self.identities, str(partition))
            if split == "paper":
                self.splits = paper_split(self.splits, self.identities)

    def fingerprint(self) -> str:
        """Return a hash of ids, landmarks and contents of the images, the same for the folder and the ZIP file."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        archive = self._archive
        place = str(archive.path.absolute())
        contents = combined(self.ids, digests(place, self.ids, archive.state, archive.sha256))
        if self._points is None:
            return contents
        points = b"".join(self._points[name].tobytes() for name in self.ids)
        return hashlib.sha256(contents.encode() + points).hexdigest()[: len(contents)]

    def load(self, index: int) -> Tensor:
        """Return image ``index`` as ``(3, H, W)`` in ``[0, 1]``, in the framing.

        Raises:
            InputError: the image cannot be read or decoded, or its landmarks are no face.
        """
        name = self.ids[index]
        place = f"{self._archive.path}/{name}"
        image = decode_image(io.BytesIO(self._archive.read(name)), place)
        if self._points is None:
            return image
        try:
            return align(image, self._points[name], self.framing)
        except ValueError as error:
            raise InputError(f"{place}: its landmarks do not align it: {error}") from None

    def _rows(self, images: Sequence[str], annotations: Mapping[str, Tensor], source: str) -> None:
        """Keep the images that have a row; record other images and rows in ``skipped``."""
        here = self._archive.sizes
        kept = [row for row, name in enumerate(images) if name in here]
        if not kept:
            raise InputError(f"{self._archive.path} holds none of the images that {source} lists, such as {images[0]}.")
        self.ids = tuple(images[row] for row in kept)
        self.annotations = {name: column[kept] for name, column in annotations.items()}
        listed = set(images)
        self.skipped = (
            *((name, f"{source} lists it, but there is no such image.") for name in images if name not in here),
            *((name, f"{source} has no row for it.") for name in sorted(here) if name not in listed),
        )

    def _identities(self, root: Path, split: str) -> tuple[str, ...] | None:
        if find(root, "identity_CelebA.txt") is None and split == "official":
            return None
        path = required(root, "identity_CelebA.txt", "identities")
        people = read_column(path, "identity")
        missing = next((name for name in self.ids if name not in people), None)
        if missing is not None:
            raise InputError(f"{path} has no line for '{missing}'.")
        return tuple(people[name] for name in self.ids)


def paper_split(official: Sequence[str], identities: Sequence[str], test: int = PAPER_TEST) -> tuple[str, ...]:
    """Return the paper's split: people of the official test part are for the test until ``test`` images are reached."""
    counts: dict[str, int] = {}
    for person, part in zip(identities, official, strict=True):
        if part == "test":
            counts[person] = counts.get(person, 0) + 1
    taken: set[str] = set()
    for person in sorted(counts, key=lambda person: hashlib.sha256(person.encode()).digest()):
        if test <= 0:
            break
        taken.add(person)
        test -= counts[person]
    return tuple(
        ("test" if person in taken else "train") if part == "test" else part
        for person, part in zip(identities, official, strict=True)
    )


def _official(partition: Mapping[str, str], ids: Sequence[str], path: Path) -> tuple[str, ...]:
    codes = {str(code): part for code, part in enumerate(PARTS)}
    parts = []
    for name in ids:
        code = partition.get(name)
        if code not in codes:
            what = "no line" if code is None else f"the part '{code}', expected 0, 1 or 2,"
            raise InputError(f"{path} has {what} for '{name}'.")
        parts.append(codes[code])
    return tuple(parts)
