"""Settings of an audit, and the subset of a data set that it uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from faceinv.audit.image_reader import ImageRecipe
from faceinv.contracts.data import Dataset
from faceinv.storage.hashing import fingerprint

#: Recipes of the heads: one for all attributes, or the paper's (sections 3.1 to 3.3).
RECIPES = ("tuned", "paper")


@dataclass(frozen=True)
class AuditSettings:
    """Everything that the numbers of an audit depend on, except the encoder and the files.

    Args:
        dataset: ``name`` or ``name:PATH``, as reported.
        labels: SHA-256 of the labels file, or nothing.
        attributes: Names given by the user; none for the default ones.
        recipes: Recipes of the heads, ``"tuned"`` or ``"paper"``.
        detector: Detector for a data set that declares no framing.
        limit: Maximum number of images, taken evenly from the whole data set.
        seed: Seed of initial weights, batch order, dropout and bootstrap.
        image: Recipe of the network that reads the photographs; ``None`` leaves it out.
        precision: Precision of the encoder's convolutions and products, ``"fp32"`` or ``"bf16"``.
        compile: Compile the encoder with torch.compile.
    """

    dataset: str
    labels: str = ""
    attributes: tuple[str, ...] = ()
    recipes: tuple[str, ...] = RECIPES
    detector: str = ""
    limit: int | None = None
    seed: int = 0
    image: ImageRecipe | None = field(default_factory=ImageRecipe)
    precision: str = "fp32"
    compile: bool = False


def deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the part of an audit's config that decides its numbers: not the compiler, nor the default precision."""
    return {key: value for key, value in config.items() if key != "compile" and (key, value) != ("precision", "fp32")}


class Subset(Dataset):
    """Evenly spaced images of a data set, so that every part keeps its share.

    Args:
        dataset: The whole data set.
        limit: Number of images.
    """

    def __init__(self, dataset: Dataset, limit: int) -> None:
        n = len(dataset.ids)
        self._rows = [place * n // limit for place in range(limit)] if limit < n else list(range(n))
        self.source = dataset
        self.ids = tuple(dataset.ids[row] for row in self._rows)
        if dataset.identities is not None:
            self.identities = tuple(dataset.identities[row] for row in self._rows)
        if dataset.splits is not None:
            self.splits = tuple(dataset.splits[row] for row in self._rows)
        self.annotations = {name: values[self._rows] for name, values in dataset.annotations.items()}
        self.framing = dataset.framing
        self.framing_is_approximate = dataset.framing_is_approximate
        self.clean_box = dataset.clean_box
        self.skipped = dataset.skipped

    def load(self, index: int) -> Tensor:
        """Return image ``index`` of the subset."""
        return self.source.load(self._rows[index])

    def fingerprint(self) -> str:
        """Return a hash of the whole data set's fingerprint and the choice of images."""
        return fingerprint({"of": self.source.fingerprint(), "rows": self._rows})
