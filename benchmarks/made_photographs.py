"""JPEG files to embed if no data set is available."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from faceinv.contracts import Dataset, Framing
from faceinv.data import read_image

IMAGES = 256
SOURCE = Framing("source", (250, 250), ((0.42, 0.45), (0.59, 0.45), (0.5, 0.55), (0.43, 0.63), (0.58, 0.63)))


class Photographs(Dataset):
    """JPEG files of 250x250 pixels with as much detail as photographs."""

    framing = SOURCE

    def __init__(self, folder: Path) -> None:
        self.ids = tuple(f"{k}.jpg" for k in range(IMAGES))
        self._folder = folder
        rng = np.random.default_rng(0)
        for name in self.ids:
            coarse = Image.fromarray(rng.integers(0, 256, (50, 50, 3), np.uint8))
            coarse.resize((250, 250), Image.Resampling.BICUBIC).save(folder / name, quality=90)

    def load(self, index: int) -> Tensor:
        return read_image(self._folder / self.ids[index])
