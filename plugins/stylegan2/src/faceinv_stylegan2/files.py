"""Reading of a file, in any of the published formats or our own, to the tensors of ``architecture.py``.

We read published files ourselves rather than with ``torch.load``, so that nothing in them is executed. The format is
detected from the content, not the suffix. A published file is read once; its tensors are then kept as safetensors in
the cache folder, under the file's SHA-256.
"""

from __future__ import annotations

import mmap
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from faceinv.errors import WeightsError, first_five
from faceinv.storage import cache_folder, file_sha256, load_or_make
from faceinv.weights import STREAM_HEAD, Budget, interpret, read_archive, read_stream, save_tensors
from faceinv_stylegan2.architecture import Shape, describe
from faceinv_stylegan2.nvidia import nvidia, nvidia_builders
from faceinv_stylegan2.published import Published
from faceinv_stylegan2.rosinality import ROSINALITY_BUILDERS, rosinality

#: Part of the cached file's name; change it together with the reading.
_VERSION = "v1"


def load(file: str | Path) -> dict[str, Tensor]:
    """Return the float32 tensors of a StyleGAN2 generator, under the names of ``architecture.py``.

    Args:
        file: NVIDIA's ``.pkl``, rosinality's ``.pt``, or safetensors written by :func:`convert`.

    Raises:
        WeightsError: if the file is missing, damaged, or not a supported StyleGAN2.
        StorageError: if the cache folder cannot be written to.
    """
    path = Path(file)
    if _is_safetensors(path):
        return _read_safetensors(path)
    kept = cache_folder() / "stylegan2" / f"{file_sha256(path)}.{_VERSION}.safetensors"
    return load_or_make(kept, lambda: read_published(path))


def convert(file: str | Path, out: str | Path) -> None:
    """Write the generator in a published ``file`` as safetensors to ``out``.

    The metadata of ``out`` contains the SHA-256 of ``file``.

    Raises:
        WeightsError: if ``file`` is missing, damaged, or not a supported StyleGAN2.
        StorageError: if ``out`` cannot be written.
    """
    source = Path(file)
    tensors = _read_safetensors(source) if _is_safetensors(source) else read_published(source)
    save_tensors(tensors, Path(out), source=source)


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published file, without the cache.

    Raises:
        WeightsError: if the file is missing, damaged, or not a supported StyleGAN2.
    """
    try:
        length = path.stat().st_size
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            head, budget = content[:16], Budget.of(length)
            if head.startswith(b"PK"):
                published = rosinality(read_archive(file, length, ROSINALITY_BUILDERS, budget=budget))
            elif head.startswith(STREAM_HEAD):
                published = rosinality(read_stream(content, length, ROSINALITY_BUILDERS, budget=budget))
            elif head.startswith(b"\x80"):
                published = nvidia(interpret(content, nvidia_builders(budget), budget=budget))
            else:
                raise WeightsError("it is neither a .pkl of NVIDIA's, nor a .pt of rosinality's, nor safetensors")
            return _read(published, length)
    except WeightsError as error:
        raise WeightsError(f"{path} cannot be read as a StyleGAN2: {error}.") from None
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} cannot be read: {error}.") from None


def _read(published: Published, length: int) -> dict[str, Tensor]:
    """Read the parts after checking their names, shapes and sizes.

    Args:
        published: The generator in its file.
        length: Size of the file in bytes.
    """
    parts = published.parts
    extra: dict[str, Shape] = {} if published.clamp is None else {"synthesis.clamp": ()}
    describe({name: part.final_shape for name, part in parts.items()} | extra)
    # Many tensors that share the same numbers could together be far larger than the file.
    if sum(part.stored.nbytes for part in parts.values()) > length:
        raise WeightsError("the file is damaged: its tensors overlap")
    tensors = {}
    for name, part in parts.items():
        if not part.stored.storage.dtype.is_floating_point:
            raise WeightsError(f"its tensor {name} is {part.stored.storage.dtype}, not floating point")
        tensors[name] = part.stored.read().float().mul_(part.gain).reshape(part.final_shape)
    if published.clamp is not None:
        tensors["synthesis.clamp"] = torch.tensor(float(published.clamp))
    _check_finite(tensors)
    return tensors


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: the header's length in 8 bytes, then the header."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= path.stat().st_size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            describe({name: tuple(file.get_slice(name).get_shape()) for name in names})
            tensors = {name: file.get_tensor(name).float() for name in names}
        _check_finite(tensors)
    except WeightsError as error:
        raise WeightsError(f"{path} is not a StyleGAN2 written by 'faceinv weights convert': {error}.") from None
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path} cannot be read: {' '.join(str(error).split())}.") from None
    return tensors


def _check_finite(tensors: Mapping[str, Tensor]) -> None:
    bad = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if bad:
        raise WeightsError(f"it has NaN or infinity in {first_five(bad)}")
