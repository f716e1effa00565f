"""Reading and writing images as float32 RGB in [0, 1]."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import IO

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from faceinv.errors import InputError
from faceinv.storage.atomic import write_atomically

#: Suffixes of the files that count as images in a folder.
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def read_image(path: str | Path) -> Tensor:
    """Read one image as ``(3, H, W)`` float32 RGB in ``[0, 1]``, rotated as its EXIF data say.

    Transparent pixels are blended with white; 16-bit and grey images are converted.

    Raises:
        InputError: the file is missing, empty, truncated, not an image, or has floating-point pixels, whose range
            is unknown.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            return decode_image(file, str(path))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file.") from None
    except IsADirectoryError:
        raise InputError(f"{path} is a folder; name an image file.") from None
    except OSError as error:
        raise InputError(f"{path}: the image cannot be read: {error.strerror or error}.") from None


def decode_image(file: IO[bytes], name: str) -> Tensor:
    """Decode one image from an open file, such as an archive member, as :func:`read_image` does.

    Args:
        file: Open for reading, and seekable.
        name: Name of the file in messages.

    Raises:
        InputError: the file is empty, truncated, not an image, or has floating-point pixels.
    """
    try:
        with warnings.catch_warnings():
            # Damaged metadata do not matter if the pixels can be read.
            warnings.simplefilter("ignore", UserWarning)
            # Pillow only warns about images that would take gigabytes once decoded.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                array = np.asarray(_to_rgb(ImageOps.exif_transpose(image)))
    except UnidentifiedImageError:
        reason = "the file is empty" if file.seek(0, os.SEEK_END) == 0 else "not an image that Pillow can read"
        raise InputError(f"{name}: {reason}.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise InputError(f"{name}: the image cannot be decoded: {error}.") from None
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


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range; save it with 8 bits per channel")
    if image.mode.startswith("I"):
        # convert() would clip 16-bit greys at 255; older releases of Pillow read them as 32-bit integers.
        image = Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return image.convert("RGB")
