"""The data set interface."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor

from faceinv.contracts.networks import Generator

if TYPE_CHECKING:
    from faceinv.contracts.specs import Framing


class Dataset(ABC):
    """Images and what is known about each. The same folder always gives the same order, ids and annotations."""

    #: One id per image, unique within the data set.
    ids: Sequence[str]
    #: The person in each image, or ``None`` if unknown.
    identities: Sequence[str] | None = None
    #: The framing of all images, or ``None`` if faces must be detected first.
    framing: Framing | None = None
    #: True if ``framing`` is an average over images that somebody else aligned. That is good enough for an audit
    #: of thousands of images; an inversion detects the face in each target anyway.
    framing_is_approximate: bool = False
    #: Annotations by name, each ``(N,)`` float32: 0 and 1, or continuous; NaN if unknown.
    annotations: Mapping[str, Tensor] = MappingProxyType({})
    #: ``"train"``, ``"val"`` or ``"test"`` per image, disjoint by identity; ``None`` without a split.
    splits: Sequence[str] | None = None
    #: The part of the frame (left, top, right, bottom), in frame coordinates of ``framing``, that shows the
    #: photograph in every image; whole-frame attributes are measured within it. ``None`` is the whole frame.
    clean_box: tuple[float, float, float, float] | None = None
    #: (id, reason) of everything left out of ``ids``, such as a row without an image or an image without a row.
    skipped: Sequence[tuple[str, str]] = ()
    #: True if the name refers to the whole data set; a subset must then have another name.
    whole: bool = False

    @abstractmethod
    def load(self, index: int) -> Tensor:
        """Return image ``index`` as ``(3, H, W)`` in ``[0, 1]``; may be called from several threads at once.

        Raises:
            InputError: if the image cannot be decoded; it is then reported and skipped.
        """

    def fingerprint(self) -> str:
        """Return a hash that changes whenever an image does; it is part of a record's id and of every cache key.

        Names and sizes are not enough: an edited photograph may keep both. By default the pixels of all images are
        hashed, once per opened data set. Images that are computed override it with a hash of what determines them,
        because their last bits may differ between machines. A data set of files overrides it with
        :func:`faceinv.data.content_fingerprint`, which reads each file only once for as long as it stays the same.
        """
        return self._pixels

    @cached_property
    def _pixels(self) -> str:
        digest = hashlib.sha256()
        with ThreadPoolExecutor() as threads:
            for name, pixels in zip(self.ids, threads.map(self.image_hash, range(len(self.ids))), strict=True):
                digest.update(f"{name} {pixels}\n".encode())
        return digest.hexdigest()[:16]

    def image_hash(self, index: int) -> str:
        """Return the hash of an image's pixels, or a word for one that cannot be used."""
        try:
            image = self.load(index)
        except Exception:  # the run reports it when it loads the image
            return "unusable"
        return pixel_hash(image)


def pixel_hash(image: Tensor) -> str:
    """Return the hash of an image's pixels, size and type."""
    content = image.detach().cpu().float().contiguous().numpy()
    return hashlib.sha256(f"{image.dtype} {tuple(image.shape)} ".encode() + content.tobytes()).hexdigest()


@dataclass(frozen=True)
class DatasetContext:
    """Arguments for building a data set.

    Args:
        generator: The run's generator, for data sets that sample it.
        framing: The generator's framing.
        space: Latent space.
        seed: Seed of the run.
        limit: Maximum number of images that will be loaded.
        labels: CSV file of annotations, for data sets that take one.
    """

    generator: Generator | None
    framing: Framing | None
    space: str
    seed: int
    limit: int | None
    labels: Path | None = None
