"""Reading of a file, in any of the published formats or our own, to the tensors of ``architecture.py``.

We read published files ourselves rather than with ``torch.load``, so that nothing in them is executed. The format is
detected from the content, not the suffix. A published file is read once; its tensors are then kept as safetensors in
the cache folder, under the file's SHA-256.
"""

from __future__ import annotations

import mmap
from pathlib import Path

import torch
from torch import Tensor

from faceinv.errors import WeightsError
from faceinv.storage import cache_folder, file_sha256, load_or_make
from faceinv.weights import (
    STREAM_HEAD,
    Budget,
    check_values,
    interpret,
    opened,
    read_archive,
    read_stream,
    read_tensors,
    save_tensors,
)
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
    with opened(path) as (file, length), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        head, budget = content[:16], Budget.of(length)
        try:
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
            raise WeightsError(f"{path} cannot be read as a StyleGAN2: {str(error).rstrip('.')}.") from None


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
    check_values(tensors)
    return tensors


def _is_safetensors(path: Path) -> bool:
    """Return whether a file begins like safetensors: the header's length in 8 bytes, then the header."""
    with opened(path) as (file, size):
        head = file.read(9)
    return len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") <= size


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    tensors = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    try:
        describe({name: tuple(tensor.shape) for name, tensor in tensors.items()})
        check_values(tensors)
    except WeightsError as error:
        raise WeightsError(
            f"{path} is not a StyleGAN2 written by 'faceinv weights convert': {str(error).rstrip('.')}."
        ) from None
    return tensors
