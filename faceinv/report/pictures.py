"""Pictures as data URIs, small enough for a page to hold all of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

#: Longest side of an embedded picture and JPEG quality, best first.
_LADDER = ((256, 88), (224, 85), (192, 82), (160, 80), (128, 75), (96, 70), (64, 65))

#: Pictures up to this side are embedded losslessly.
_LOSSLESS = 96

#: Most bytes of all pictures of a page, as data URIs.
BUDGET = 13_000_000


@dataclass
class Pictures:
    """Data URIs of picture files, each made once, at a size that keeps the page within its budget.

    Args:
        side: Longest side.
        quality: JPEG quality.
    """

    side: int
    quality: int
    _known: dict[Path, str] = field(default_factory=dict, repr=False)

    @classmethod
    def fitting(cls, files: Iterable[Path], budget: int = BUDGET) -> Pictures:
        """Return an instance with which ``files`` stay within ``budget`` bytes, estimated from a sample."""
        every = list(dict.fromkeys(files))
        sample = every[:: max(1, len(every) // 24)]
        for side, quality in _LADDER:
            pictures = cls(side, quality)
            if not sample:
                return pictures
            mean = sum(len(pictures.uri(file)) for file in sample) / len(sample)
            # A margin of a tenth, because the sample may be smaller than the rest.
            if mean * len(every) * 1.1 <= budget:
                return pictures
        return pictures

    def uri(self, file: Path) -> str:
        """Return the picture as a data URI.

        Raises:
            OSError: if the file cannot be read as a picture.
        """
        if file not in self._known:
            self._known[file] = self._encode(file)
        return self._known[file]

    def _encode(self, file: Path) -> str:
        buffer = io.BytesIO()
        with Image.open(file) as opened:
            image = opened.convert("RGB")
        if max(image.size) > self.side:
            image.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        if max(image.size) <= _LOSSLESS:
            kind = "png"
            image.save(buffer, "PNG", optimize=True)
        else:
            kind = "jpeg"
            image.save(buffer, "JPEG", quality=self.quality, optimize=True, progressive=True)
        return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
