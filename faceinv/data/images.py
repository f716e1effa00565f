"""Reading and writing images as float32 RGB in [0, 1]."""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from faceinv.errors import InputError, shown
from faceinv.storage.atomic import write_atomically
from faceinv.storage.regular import open_regular

#: The most pixels that are decoded: a telephone of 200 megapixels passes, a small file that unpacks to gigabytes fails.
MOST_PIXELS = 2**28
#: Above this number of pixels an image is read at half its size or less.
LARGE = 89_478_485

#: Formats that Pillow only recognises, or, for EPS, decodes by running another program on the file.
_NOT_DECODED = frozenset({"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"})

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

#: Held while Pillow's own limit, which is global, is lifted.
_LIMIT = threading.Lock()


@functools.cache
def image_suffixes() -> frozenset[str]:
    """Return the suffixes, in lower case and with the dot, of the images that can be decoded."""
    formats = _formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def is_image(path: str | Path) -> bool:
    """Return whether a file starts as an image does; its pixels are not decoded."""
    try:
        with warnings.catch_warnings(), open_regular(path) as file:
            warnings.simplefilter("ignore")
            Image.open(file, formats=_formats()).close()
    except Image.DecompressionBombError:
        return True
    except Exception:  # what Pillow raises for damaged files has no common class
        return False
    return True


def read_image(path: str | Path) -> Tensor:
    """Read one image as ``(3, H, W)`` float32 RGB in ``[0, 1]``, rotated as its EXIF data say.

    Transparent pixels are blended with white; 16-bit and grey images are converted. Greys of more than 8 bits are
    divided by the smallest range, of 8, 10, 12 or 16 bits, that holds them. An image of more than :data:`LARGE`
    pixels is read at half its size or less.

    Raises:
        InputError: the file is missing, empty, truncated, not a regular file, not an image, has more than
            :data:`MOST_PIXELS` pixels, or pixels whose range is unknown.
    """
    path = Path(path)
    try:
        with open_regular(path) as file:
            return decode_image(file, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name an image file.") from None
    except OSError as error:
        raise InputError(f"{path}: the image cannot be read: {error.strerror or error}.") from None


def decode_image(file: IO[bytes], name: str, *, most: int = MOST_PIXELS) -> Tensor:
    """Decode one image from an open file, such as an archive member, as :func:`read_image` does.

    Args:
        file: Open for reading, and seekable.
        name: Name of the file in messages.
        most: The most pixels to decode.

    Raises:
        InputError: the file is empty, truncated, not an image, has more than ``most`` pixels, or pixels whose range
            is unknown.
    """
    try:
        with warnings.catch_warnings():
            # Damaged metadata do not matter if the pixels can be read, and the number of pixels is checked here.
            warnings.simplefilter("ignore")
            with _open(file) as image:
                if image.width * image.height > most:
                    raise InputError(
                        f"{name}: the image has {image.width}x{image.height} pixels; at most {most:,} are "
                        "decoded. Save it smaller."
                    )
                array = np.asarray(_decoded(image))
    except InputError:
        raise
    except UnidentifiedImageError:
        reason = "the file is empty" if file.seek(0, os.SEEK_END) == 0 else "not an image that Pillow can read"
        raise InputError(f"{name}: {reason}.") from None
    except Exception as error:  # what Pillow raises for damaged files has no common class
        reason = shown(" ".join(str(error).split()) or type(error).__name__).rstrip(".")
        raise InputError(f"{name}: the image cannot be decoded: {reason}.") from None
    return torch.from_numpy(array.copy()).permute(2, 0, 1).float().div_(255)


def write_image(image: Tensor, path: str | Path) -> None:
    """Write one image ``(3, H, W)`` in ``[0, 1]`` as an 8-bit file, atomically; the suffix decides the format.

    Raises:
        StorageError: the file cannot be written.
    """
    path = Path(path)
    buffer = io.BytesIO()
    Image.fromarray(to_bytes(image)).save(buffer, format=Image.registered_extensions()[path.suffix.lower()])
    write_atomically(path, buffer.getvalue(), synchronise=False)


def to_bytes(image: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return ``(3, H, W)`` in ``[0, 1]`` as an 8-bit array ``(H, W, 3)``."""
    scaled = image.detach().clamp(0, 1).mul(255).round().to(torch.uint8)
    return np.ascontiguousarray(scaled.permute(1, 2, 0).cpu().numpy())


def rounded(image: Tensor) -> Tensor:
    """Return an image with the values that an 8-bit file of it holds, float32 on the CPU."""
    return image.detach().cpu().float().clamp(0, 1).mul(255).round().div(255)


@functools.cache
def _formats() -> tuple[str, ...]:
    Image.init()
    return tuple(name for name in Image.ID if name not in _NOT_DECODED)


def _open(file: IO[bytes]) -> Image.Image:
    """Return the image with its size, not yet decoded, however large it is."""
    try:
        return Image.open(file, formats=_formats())
    except Image.DecompressionBombError:
        with _LIMIT:
            usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            try:
                file.seek(0)
                return Image.open(file, formats=_formats())
            finally:
                Image.MAX_IMAGE_PIXELS = usual


def _decoded(image: Image.Image) -> Image.Image:
    """Return the upright image in RGB."""
    if image.width * image.height > LARGE:
        image.draft(image.mode, (image.width // 2, image.height // 2))  # JPEG alone decodes at half its size
    image.load()
    turn = _TURNS.get(_orientation(image))
    upright = _to_rgb(image if turn is None else image.transpose(turn))
    return upright.reduce(2) if upright.width * upright.height > LARGE else upright


def _orientation(image: Image.Image) -> int:
    # ImageOps.exif_transpose would also write the metadata anew, and fails on any tag that does not fit its type.
    try:
        value = image.getexif().get(_ORIENTATION)
    except Exception:  # metadata too damaged to hold an orientation
        return 1
    return value if isinstance(value, int) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        # convert() would clip 16-bit greys at 255; older releases of Pillow read them as 32-bit integers.
        image = Image.fromarray(_grey(np.asarray(image)))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")


def _grey(values: np.ndarray[tuple[int, ...], np.dtype[np.integer]]) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return integer greys with 8 bits. The file does not say their range, but cameras and scanners use few."""
    low, high = int(values.min()), int(values.max())
    bits = next((bits for bits in (8, 10, 12, 16) if high < 1 << bits), None)
    if low < 0 or bits is None:
        raise ValueError(f"its greys run from {low} to {high}, an unknown range; save it with 8 or 16 bits per channel")
    return (values >> (bits - 8)).astype(np.uint8)
