"""The interface of a data set."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor

from faceinv.contracts.networks import Generator

if TYPE_CHECKING:
    from faceinv.contracts.specs import Framing


class Dataset(ABC):
    """Images, and what is known of each. The same folder gives the same order, ids and annotations."""

    #: One id for each image, unique in the data set.
    ids: Sequence[str]
    #: Who is in each image, or ``None`` where it is not known.
    identities: Sequence[str] | None = None
    #: Where the faces sit, or ``None`` if they have to be found first.
    framing: Framing | None = None
    #: Whether ``framing`` is but the mean of images that others aligned: near enough to read attributes
    #: of thousands, while the targets of an inversion are searched for faces one by one.
    framing_is_approximate: bool = False
    #: What is known of the images: name → ``(N,)`` float32, 0 and 1 or continuous, NaN where not known.
    annotations: Mapping[str, Tensor] = MappingProxyType({})
    #: ``"train"``, ``"val"`` or ``"test"`` for each image, disjoint by identity; ``None`` where it is not split.
    splits: Sequence[str] | None = None
    #: The part (left, top, right, bottom) of the frame, in frame coordinates of ``framing``, that shows the
    #: photograph in every image; attributes of all pixels are measured in it. ``None`` is the whole frame.
    clean_box: tuple[float, float, float, float] | None = None
    #: (id, reason) of what is listed but is not among ``ids``: a row without an image, an image without a row.
    skipped: Sequence[tuple[str, str]] = ()
    #: Whether its name stands for all of its images, so that a part must not go by it.
    whole: bool = False

    @abstractmethod
    def load(self, index: int) -> Tensor:
        """Return image ``index`` as ``(3, H, W)`` in ``[0, 1]``; may be called from several threads at once.

        Raises:
            InputError: the image cannot be decoded; it is reported and skipped.
        """

    def fingerprint(self) -> str:
        """Return a hash that changes when the images do; records are named by it. By default, of the ids."""
        return hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DatasetContext:
    """What a data set is built with.

    Args:
        generator: The generator of the run, for data sets that sample it.
        framing: The generator's framing.
        space: Latent space.
        seed: Seed of the run.
        limit: How many images will be asked for at most.
        labels: A CSV file of annotations, for data sets that take one.
    """

    generator: Generator | None
    framing: Framing | None
    space: str
    seed: int
    limit: int | None
    labels: Path | None = None
