"""The data set: target images in a stable order."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from faceinv.contracts import Dataset, DatasetContext
from faceinv.data import content_fingerprint, read_image
from faceinv.errors import InputError


class MyDataset(Dataset):
    """The photographs in one folder, sorted by name.

    Set ``framing`` if the faces are already aligned; otherwise they are detected and aligned. Set
    ``identities`` if the person in each photograph is known.

    Args:
        path: The folder.
        context: Generator, seed and limit of the run, for data sets that need them.
    """

    def __init__(self, path: Path | None, *, context: DatasetContext) -> None:
        if path is None or not path.is_dir():
            raise InputError(f"The data set 'my-template' needs a folder: my-template:PATH; got '{path}'.")
        self._files = sorted(file for file in path.iterdir() if file.suffix.lower() in (".png", ".jpg", ".jpeg"))
        if not self._files:
            raise InputError(f"The folder '{path}' contains no PNG or JPEG.")
        self.ids = [file.name for file in self._files]

    def load(self, index: int) -> Tensor:
        """Return photograph ``index`` as RGB ``(3, H, W)`` in ``[0, 1]``."""
        return read_image(self._files[index])

    def fingerprint(self) -> str:
        """Return a hash of the files, which are read again only after a change."""
        return content_fingerprint(self.ids, self._files)
