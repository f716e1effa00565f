"""Pictures as data URIs, small enough that a page can hold all of them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

#: Longest side of an embedded picture, and the JPEG quality, from good to frugal.
_LADDER = ((256, 88), (224, 85), (192, 82), (160, 80), (128, 75), (96, 70), (64, 65))

#: Up to this side a picture is embedded as it is, pixel for pixel.
_LOSSLESS = 96

#: Bytes that all pictures of a page may take, as data URIs.
BUDGET = 13_000_000


@dataclass
class Pictures:
    """Makes data URIs of picture files, each once, at a size that keeps the page within its budget.

    Args:
        side: Longest side.
        quality: JPEG quality.
    """

    side: int
    quality: int
    _known: dict[Path, str] = field(default_factory=dict, repr=False)

    @classmethod
    def fitting(cls, files: Iterable[Path], budget: int = BUDGET) -> Pictures:
        """Return a maker under which ``files`` together stay within ``budget`` bytes, judged by a sample of them."""
        every = list(dict.fromkeys(files))
        sample = every[:: max(1, len(every) // 24)]
        for side, quality in _LADDER:
            pictures = cls(side, quality)
            if not sample:
                return pictures
            mean = sum(len(pictures.uri(file)) for file in sample) / len(sample)
            # A tenth more: the sample may be kinder than the rest.
            if mean * len(every) * 1.1 <= budget:
                return pictures
        return pictures

    def uri(self, file: Path) -> str:
        """Return the picture as a data URI.

        Raises:
            OSError: the file cannot be read as a picture.
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
