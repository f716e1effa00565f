"""What an audit is made of: its settings, and the part of a data set that it looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from faceinv.audit.image_reader import ImageRecipe
from faceinv.contracts.data import Dataset
from faceinv.storage.hashing import fingerprint

#: How heads are trained: one recipe for all attributes, or the paper's (sections 3.1 to 3.3).
RECIPES = ("tuned", "paper")


@dataclass(frozen=True)
class AuditSettings:
    """Everything that the numbers of an audit depend on, but the encoder and the files.

    Args:
        dataset: ``name`` or ``name:PATH``, as it is reported.
        labels: SHA-256 of the labels file, or nothing.
        attributes: Names as they were asked for; none for the default ones.
        recipes: Of the heads: ``"tuned"``, ``"paper"``.
        detector: Finds faces where the data set declares no framing.
        limit: How many images to use at most, evenly from the whole data set.
        seed: Seed of first weights, order, dropout and bootstrap.
        image: How the network that reads the photographs is trained; ``None`` leaves it out.
        precision: Of the encoder's convolutions and products, ``"fp32"`` or ``"bf16"``.
        compile: Whether torch.compile makes the encoder.
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
    """Return what of an audit's config its numbers depend on: no compiler, and a precision that is not the usual."""
    return {key: value for key, value in config.items() if key != "compile" and (key, value) != ("precision", "fp32")}


class Subset(Dataset):
    """Images of a data set, evenly spaced, so that every part keeps its share.

    Args:
        dataset: The whole.
        limit: How many.
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
        """Return a hash of the whole data set's, and of which images these are."""
        return fingerprint({"of": self.source.fingerprint(), "rows": self._rows})
