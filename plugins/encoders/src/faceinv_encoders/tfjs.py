"""A reader of the weights of a TensorFlow.js graph model.

Such a model is a JSON file and a binary one. Under ``weightsManifest`` the first names each constant with its shape and
type, in the order of the binary file, where one follows another without a gap. The graph itself is not read: the
networks are defined here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from faceinv.errors import WeightsError, shown
from faceinv.weights import check_count, opened

#: Largest JSON file to read, in bytes; those of face recognition networks have less than 100 kB.
_LARGEST_JSON = 10_000_000

#: Type in the file → NumPy's. Quantised weights are not supported: a rounded network is another network.
_TYPES = {"float32": "<f4", "int32": "<i4"}


def read_tfjs(manifest: Path, content: Path) -> dict[str, Tensor]:
    """Return the constants of a model by name, in TensorFlow's layout.

    Args:
        manifest: The model's ``.json`` file.
        content: Its ``.bin`` file.

    Raises:
        WeightsError: if a file cannot be read, the JSON is not of such a model, or they do not belong together.
    """
    entries = _entries(manifest)
    tensors: dict[str, Tensor] = {}
    with opened(content) as (file, size):
        for name, shape, kind in entries:
            if name in tensors:
                raise WeightsError(f"{manifest} names '{shown(name)}' twice.")
            length = math.prod(shape) * 4
            if file.tell() + length > size:
                raise WeightsError(f"{content} is too short for '{shown(name)}' of {manifest.name}; fetch it again.")
            array = np.frombuffer(file.read(length), _TYPES[kind]).reshape(shape)
            tensors[name] = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), copy=True))
        if file.tell() != size:
            raise WeightsError(f"{content} has {size - file.tell():,} bytes more than {manifest.name} says.")
    return tensors


def _entries(manifest: Path) -> list[tuple[str, tuple[int, ...], str]]:
    """Return name, shape and type of each constant."""
    with opened(manifest) as (file, size):
        if size > _LARGEST_JSON:
            raise WeightsError(f"{manifest} is larger than {_LARGEST_JSON:,} bytes; no such model's description is.")
        text = file.read()
    try:
        groups = json.loads(text)["weightsManifest"]
        listed = [weight for group in groups for weight in group["weights"]]
        check_count(len(listed))
        return [_entry(weight) for weight in listed]
    except (ValueError, TypeError, KeyError, RecursionError, WeightsError) as error:
        # The text of a KeyError is the key alone.
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise WeightsError(f"{manifest} is not a TensorFlow.js graph model: {reason}.") from None


def _entry(weight: Any) -> tuple[str, tuple[int, ...], str]:
    name, shape, kind = weight["name"], weight["shape"], weight["dtype"]
    if not isinstance(name, str) or not isinstance(shape, list) or not all(_is_side(side) for side in shape):
        raise WeightsError(f"it describes a constant as {shown(str(weight))}")
    if kind not in _TYPES or "quantization" in weight:
        given = "quantised" if "quantization" in weight else shown(str(kind))
        raise WeightsError(f"the constant '{shown(name)}' is {given}, not one of {', '.join(_TYPES)}")
    return name, tuple(shape), kind


def _is_side(side: Any) -> bool:
    return isinstance(side, int) and not isinstance(side, bool) and 0 <= side < 2**31


def convolution_kernels(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors, with kernels ``(height, width, in, out)`` in PyTorch's layout ``(out, in, height, width)``.

    The kernel of a depthwise convolution is ``(height, width, channels, 1)``, which becomes ``(channels, 1, height,
    width)``.
    """
    for name, tensor in tensors.items():
        if tensor.ndim != 4:
            yield name, tensor
        elif tensor.shape[3] == 1:
            yield name, tensor.permute(2, 3, 0, 1)
        else:
            yield name, tensor.permute(3, 2, 0, 1)
