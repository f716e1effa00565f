"""A subset of a data set."""

from __future__ import annotations

from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.storage.hashing import fingerprint


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
