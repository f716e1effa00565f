"""Pictures as data URIs, small enough for a page to hold all of them."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from faceinv.errors import described
from faceinv.storage.regular import open_regular

#: Longest side of an embedded picture and JPEG quality, best first.
_LADDER = ((256, 88), (224, 85), (192, 82), (160, 80), (128, 75), (96, 70), (64, 65))

#: Pictures up to this side are embedded losslessly.
_LOSSLESS = 96

#: Most bytes of all pictures of a page, as data URIs.
BUDGET = 13_000_000

#: Most pixels of a picture that is decoded.
_MOST = 1 << 24


def read_picture(file: Path) -> Image.Image:
    """Return a picture of a run, which may come from somebody else, in RGB.

    Raises:
        OSError: if it cannot be read, for any reason.
    """
    try:
        with warnings.catch_warnings(), open_regular(file) as stream:
            warnings.simplefilter("error")
            with Image.open(stream, formats=("PNG",)) as image:
                if image.width * image.height > _MOST:
                    raise ValueError(f"{image.width}x{image.height} pixels")
                return image.convert("RGB")
    except Exception as error:  # what Pillow raises for damaged files has no common class
        raise OSError(f"{file} cannot be read: {described(error)}") from None


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
        """Return the picture as a data URI, or nothing if it cannot be read."""
        if file not in self._known:
            try:
                self._known[file] = self._encode(file)
            except OSError:
                self._known[file] = ""
        return self._known[file]

    def _encode(self, file: Path) -> str:
        image = read_picture(file)
        if max(image.size) > self.side:
            image.thumbnail((self.side, self.side), Image.Resampling.LANCZOS)
        return data_uri(image, self.quality)


def data_uri(image: Image.Image, quality: int = _LADDER[0][1]) -> str:
    """Return a picture as a data URI: small ones as PNG, larger ones as JPEG of this quality."""
    buffer = io.BytesIO()
    if max(image.size) <= _LOSSLESS:
        kind = "png"
        image.save(buffer, "PNG", optimize=True)
    else:
        kind = "jpeg"
        image.save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
