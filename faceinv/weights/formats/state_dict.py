"""State dicts: reading them from published weights files, and loading them into networks strictly.

We read the file ourselves rather than with ``torch.load``, so that nothing in it is executed.
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from faceinv.errors import WeightsError, first_five, shown
from faceinv.storage.atomic import write_output
from faceinv.storage.hashing import file_sha256
from faceinv.weights.formats.numpy_array import ARRAY_BUILDERS, StoredArray
from faceinv.weights.formats.opening import MAX_TENSORS, check_count, opened
from faceinv.weights.formats.pickle import Budget, interpret
from faceinv.weights.formats.torch_file import STREAM_HEAD, TENSOR_BUILDERS, StoredTensor, read_archive, read_stream

#: Keys of the network's state dict in training checkpoints.
NESTS = ("state_dict", "state_dict_backbone")

#: Limit on the nesting of names in a pickle, since a pickle can contain itself.
_DEPTH = 8

#: Limit on the header of a safetensors file, in bytes: 400 for each tensor.
_HEADER_BYTES = 400 * MAX_TENSORS

#: Limit on the absolute value of a weight. Larger ones would overflow single precision in the first few layers.
_LARGEST = 1e15

_STORED = (Tensor, StoredTensor, StoredArray)

#: First bytes of other formats for weights, which are not supported → their name.
_FOREIGN = {b"\x89HDF": "an HDF5 file", b"\x1f\x8b": "a gzip archive; unpack it first", b"BZh": "a bzip2 archive"}


class TensorsError(WeightsError):
    """A weights file whose tensors do not match the network.

    Args:
        message: One line for the user.
        shapes: Shape of every tensor in the file, by its name there, to identify the network it belongs to.
    """

    def __init__(self, message: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(message)
        self.shapes = dict(shapes)


def read_tensors(path: Path, *, nests: Sequence[str] = NESTS) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    The format is detected from the content, not the suffix: PyTorch (both generations), safetensors, or a pickle of
    names and NumPy arrays. The arrays may be nested as in Flax; their names are then joined by dots. The state dict
    may be under one of the keys ``nests``, and its names may have the prefix ``module.`` of ``DataParallel``.

    Args:
        path: The file.
        nests: Keys of the state dict in a training checkpoint, tried in order.

    Raises:
        WeightsError: if the file is missing, damaged, in another format, or names code.
    """
    # Mapped, so that a wrong length in the file allocates no memory.
    with opened(path) as (file, size), mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as stream:
        try:
            return _state_dict(_content(path, file, stream, nests), nests, size)
        except WeightsError as error:
            raise WeightsError(f"{path} cannot be used: {str(error).rstrip('.')}.") from None


def save_tensors(tensors: Mapping[str, Tensor], out: Path, *, source: Path) -> None:
    """Write ``tensors`` as safetensors to ``out``, with the name and SHA-256 of their ``source`` file in its metadata.

    Raises:
        StorageError: if ``out`` cannot be written.
    """
    metadata = {"format": "pt", "made_by": "faceinv", "source": source.name, "source_sha256": file_sha256(source)}
    # In memory first: safetensors' own writer leaves a file of a random name behind when it is killed.
    write_output(out, save({name: tensor.contiguous() for name, tensor in tensors.items()}, metadata))


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    network: str,
    names: Mapping[str, str] | None = None,
    convert: Callable[[str, Tensor], Tensor] | None = None,
    ignore: Iterable[str] = (),
) -> None:
    """Load ``tensors`` into ``module`` in place; it may be on the ``meta`` device.

    The tensors must be exactly the module's parameters and persistent buffers, in their shapes. Only
    ``num_batches_tracked``, which counts training steps, may be missing. Floating-point types are converted to the
    module's.

    Args:
        module: The network.
        tensors: Tensors by their names in the file.
        network: The network's name, for messages.
        names: The network's name of a tensor → the file's name, where they differ.
        convert: Converts a tensor from the file's layout to the network's; gets the network's name and the tensor.
        ignore: Shell-style patterns of tensors in the file that the network does not use.

    Raises:
        TensorsError: if tensors are missing, unexpected or wrongly shaped; the message has the first five of each
            by their names in the file.
    """
    wanted = module.state_dict()
    theirs = {ours: (names or {}).get(ours, ours) for ours in wanted}
    patterns = ("*num_batches_tracked", *ignore)
    known = set(theirs.values())
    found = {ours: tensors[name] for ours, name in theirs.items() if name in tensors}
    missing = [name for name in theirs.values() if name not in tensors and not name.endswith(patterns[0][1:])]
    unexpected = [name for name in tensors if name not in known and not any(fnmatchcase(name, p) for p in patterns)]
    misshapen = []
    for ours, tensor in found.items():
        expected = wanted[ours]
        converted = convert(ours, tensor) if convert else tensor
        if converted.shape != expected.shape:
            misshapen.append(f"{theirs[ours]} {tuple(converted.shape)} instead of {tuple(expected.shape)}")
        elif converted.is_floating_point() != expected.is_floating_point():
            misshapen.append(f"{theirs[ours]} of type {converted.dtype} instead of {expected.dtype}")
        else:
            found[ours] = converted.to(expected.dtype)
    problems = [
        f"{len(group)} {what} ({first_five(group)})"
        for what, group in (("missing", missing), ("wrongly shaped", misshapen), ("unexpected", unexpected))
        if group
    ]
    if problems:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise TensorsError(f"The file does not hold the tensors of '{network}': {'; '.join(problems)}.", shapes)
    check_values({theirs[ours]: tensor for ours, tensor in found.items()}, f" for '{network}'")
    for ours in wanted.keys() - found.keys():  # num_batches_tracked, which evaluation never reads
        found[ours] = torch.zeros(wanted[ours].shape, dtype=wanted[ours].dtype)
    module.load_state_dict(found, strict=True, assign=any(tensor.is_meta for tensor in wanted.values()))


def check_values(tensors: Mapping[str, Tensor], purpose: str = "") -> None:
    """Raise unless every number could be a weight.

    Args:
        tensors: Tensors by their names in the file.
        purpose: Ending of the message's subject, such as ``" for 'network'"``.

    Raises:
        TensorsError: if numbers are NaN, infinite, or so large that the network would overflow, or if a variance is
            negative; the message has the names of the first five such tensors.
    """
    bad = [name for name, tensor in tensors.items() if tensor.numel() and not _is_plausible(name, tensor)]
    if bad:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise TensorsError(
            f"The file's numbers{purpose} are not weights: {len(bad)} of {len(tensors)} tensors have NaN, infinity, "
            f"values beyond {_LARGEST:g} or negative variances ({first_five(bad)}). Fetch or train the file again.",
            shapes,
        )


def _is_plausible(name: str, tensor: Tensor) -> bool:
    low, high = (float(bound) for bound in tensor.aminmax())  # Both are NaN if any value is.
    is_variance = name.endswith(("running_var", "moving_variance"))
    return (0 if is_variance else -_LARGEST) <= low <= high <= _LARGEST


def _content(path: Path, file: BinaryIO, stream: mmap.mmap, nests: Sequence[str]) -> Any:
    """Return what the file ``path`` contains, which is open as ``file`` and mapped as ``stream``."""
    head, size = stream[:16], len(stream)
    budget = Budget.of(size)
    if len(head) > 8 and head[8:9] == b"{" and (header := struct.unpack("<Q", head[:8])[0]) <= size - 8:
        if header > _HEADER_BYTES:
            raise WeightsError(f"its description is larger than {_HEADER_BYTES:,} bytes; no network's is")
        return _read_safetensors(path)
    if head[:4] == b"PK\x03\x04":
        return read_archive(file, size, TENSOR_BUILDERS, budget=budget)
    if head.startswith(STREAM_HEAD):
        return read_stream(stream, size, TENSOR_BUILDERS, budget=budget)
    if head[0] == 0x80 or head[:1] in b"(}cd":
        return _flatten(interpret(stream, ARRAY_BUILDERS, budget=budget), nests)
    raise WeightsError(f"it is not a PyTorch file, safetensors or a pickle{_other_format(head)}")


def _other_format(head: bytes) -> str:
    if head[4:8] == b"TFL3":
        return ", but a TensorFlow Lite file"
    known = next((kind for start, kind in _FOREIGN.items() if head.startswith(start)), "")
    return f", but {known}" if known else f" (it begins with {head[:8]!r})"


def _read_safetensors(path: Path) -> Any:
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            names = file.keys()
            check_count(len(names))
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"it is damaged as safetensors: {' '.join(str(error).split())[:200]}") from None


def _flatten(content: Any, nests: Sequence[str]) -> Any:
    """Flatten nested dictionaries of arrays, or those under one of ``nests``; names are joined by dots."""
    if not isinstance(content, dict):
        return content
    nest = next((key for key in nests if isinstance(content.get(key), dict)), None)
    names: dict[Any, Any] = {}
    for name, value in _leaves(content if nest is None else content[nest], ()):
        names[name] = value
        check_count(len(names))
    return names


def _leaves(tree: dict[Any, Any], above: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield each leaf of ``tree``, with its name joined by dots."""
    if len(above) > _DEPTH:
        raise WeightsError(f"it contains no state dict: its names are nested more than {_DEPTH} deep")
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, key))
        else:
            yield ".".join(map(str, (*above, key))) if above else key, value


def _state_dict(content: Any, nests: Sequence[str], size: int) -> dict[str, Tensor]:
    """Find the state dict in the ``content`` of a file of ``size`` bytes, and read its tensors."""
    if isinstance(content, dict):
        content = next((content[key] for key in nests if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not any(isinstance(value, _STORED) for value in content.values()):
        held = f", got the keys {first_five(content)}" if isinstance(content, dict) else ""
        raise WeightsError(f"it contains no state dict: expected a mapping of names to tensors{held}")
    check_count(len(content))
    tensors: dict[str, Tensor] = {}
    taken = 0
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, _STORED):
            raise WeightsError(f"it contains no state dict: '{shown(name)}' is not a tensor but {type(value).__name__}")
        # Strides of 0 and shared storages can turn a few bytes into any number of elements. Only a weight that a
        # network uses twice is legitimate.
        taken += value.nbytes
        if taken > 2 * size:
            raise WeightsError(f"its tensors claim more bytes than the file has, from '{shown(name)}' on")
        try:
            tensors[name] = value if isinstance(value, Tensor) else value.read()
        except WeightsError as error:
            raise WeightsError(f"'{shown(name)}': {error}") from None
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors
