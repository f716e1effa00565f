"""Tensors out of published weights files, read without running anything in them, and strict loading."""

from __future__ import annotations

import math
import pickle
import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from faceinv.errors import WeightsError
from faceinv.pickles import StandIn, read_pickle

#: Where training checkpoints keep the network.
NESTS = ("state_dict", "state_dict_backbone")

#: How deep the names of a pickle may be nested; a pickle can contain itself.
_DEPTH = 8

#: The first bytes of PyTorch's format before 1.6: its magic number, pickled.
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

#: The first bytes of formats that hold weights but are not read here → their name.
_FOREIGN = {b"\x89HDF": "an HDF5 file", b"\x1f\x8b": "a gzip archive; unpack it first", b"BZh": "a bzip2 archive"}


class TensorsError(WeightsError):
    """A weights file whose tensors are not those of the network.

    Args:
        message: One line for the user.
        shapes: Shape of every tensor in the file, by the name it has there, to recognise whose it is.
    """

    def __init__(self, message: str, shapes: Mapping[str, tuple[int, ...]]) -> None:
        super().__init__(message)
        self.shapes = dict(shapes)


def read_tensors(path: Path, *, nests: Sequence[str] = NESTS) -> dict[str, Tensor]:
    """Return the tensors of a weights file by name, on the CPU.

    What the file is, its content says and not its suffix: PyTorch's format (both generations; read with
    ``weights_only=True``), safetensors, or a pickle of names and NumPy arrays, which may be nested as
    Flax nests them (the names are then joined by dots). A state dict may lie under one of ``nests``, and
    may bear the prefix ``module.`` of ``DataParallel``.

    Args:
        path: The file.
        nests: Keys under which a training checkpoint keeps the network, tried in order.

    Raises:
        WeightsError: the file is missing, damaged, of another kind, or needs code to be run.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(16)
        size = path.stat().st_size
    except FileNotFoundError:
        raise WeightsError(f"{path}: there is no such file.") from None
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from None
    if not head:
        raise WeightsError(f"{path}: the file is empty.")
    if head[:4] == b"PK\x03\x04" or head.startswith(_LEGACY):
        content = _read_torch(path, head)
    elif len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= size - 8:
        content = _read_safetensors(path)
    elif head[0] == 0x80 or head[:1] in b"(}cd":
        content = _read_arrays(path, nests)
    else:
        raise WeightsError(f"{path} holds no tensors that can be read: it is {_kind(head)}.")
    return _state_dict(content, path, nests, size)


def load_strictly(
    module: nn.Module,
    tensors: Mapping[str, Tensor],
    *,
    network: str,
    names: Mapping[str, str] | None = None,
    convert: Callable[[str, Tensor], Tensor] | None = None,
    ignore: Iterable[str] = (),
) -> None:
    """Fill ``module`` with ``tensors`` in place; it may live on the ``meta`` device.

    Every parameter and persistent buffer must be there in its shape, and nothing else. Only
    ``num_batches_tracked``, which counts training steps, may be missing. Floating-point types are
    converted to the module's.

    Args:
        module: The network to fill.
        tensors: Tensors by the names that the file gives them.
        network: Its name, for the message.
        names: The network's name of a tensor → the file's name, where they differ.
        convert: Brings a tensor, given the network's name of it, from the file's layout to the network's.
        ignore: Shell-style patterns of tensors in the file that the network does not use.

    Raises:
        TensorsError: tensors are missing, unexpected or wrongly shaped; the first five are named as the
            file names them.
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
        f"{len(group)} {what} ({', '.join(group[:5])}{', …' if len(group) > 5 else ''})"
        for what, group in (("missing", missing), ("wrongly shaped", misshapen), ("unexpected", unexpected))
        if group
    ]
    if problems:
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise TensorsError(f"The file does not hold the tensors of '{network}': {'; '.join(problems)}.", shapes)
    for ours in wanted.keys() - found.keys():  # num_batches_tracked, which evaluation never reads
        found[ours] = torch.zeros(wanted[ours].shape, dtype=wanted[ours].dtype)
    module.load_state_dict(found, strict=True, assign=any(tensor.is_meta for tensor in wanted.values()))


def _kind(head: bytes) -> str:
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file"
    known = next((kind for start, kind in _FOREIGN.items() if head.startswith(start)), "")
    return known or f"neither a PyTorch file, nor safetensors, nor a pickle (it begins with {head[:8]!r})"


def _read_torch(path: Path, head: bytes) -> Any:
    # Mapped rather than read: a record that claims more numbers than it holds then meets the bounds of
    # the mapping, and nothing compressed can unfold in memory.
    is_zip = head[:4] == b"PK\x03\x04"
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except pickle.UnpicklingError as error:
        text = str(error)
        name = re.search(r"GLOBAL ([\w.]+)|(?:function|class|globals?) ([\w]+\.[\w.]+)", text)
        if name is None:
            raise WeightsError(f"{path} cannot be read as a PyTorch file: {_one_line(error)}.") from None
        raise WeightsError(
            f"{path} is refused: it is a pickle that needs '{name[1] or name[2]}', and code named by a file is never "
            "run. Save its state dict alone where you trust the file."
        ) from None
    except Exception as error:  # PyTorch raises nearly anything on a damaged file.
        raise WeightsError(f"{path} cannot be read as a PyTorch file: {_one_line(error)}.") from None


def _read_safetensors(path: Path) -> Any:
    try:
        return load_file(path, device="cpu")
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {_one_line(error)}.") from None


def _read_arrays(path: Path, nests: Sequence[str]) -> Any:
    """Read a pickle of names and NumPy arrays, written by any Python with any NumPy."""
    data = path.read_bytes()
    content = read_pickle(data, _array_globals(), source=str(path))
    if not isinstance(content, dict):
        return content
    nest = next((key for key in nests if isinstance(content.get(key), dict)), None)
    tensors: dict[Any, Any] = {}
    taken = 0
    for name, value in _leaves(content if nest is None else content[nest], str(path), ()):
        tensors[name] = value.tensor(f"{path}: '{name}'") if isinstance(value, _Array) else value
        # A pickle can refer to one array, or to one branch, any number of times.
        taken += tensors[name].nbytes if isinstance(value, _Array) else 1
        if taken > 2 * len(data):
            raise WeightsError(f"{path}: its tensors claim more bytes than the file has, from '{name}' on.")
    return tensors


def _leaves(tree: dict[Any, Any], source: str, above: tuple[Any, ...]) -> Iterator[tuple[Any, Any]]:
    """Yield dotted names and values."""
    if len(above) > _DEPTH:
        raise WeightsError(f"{source} holds no state dict: its names are nested more than {_DEPTH} deep.")
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, source, (*above, key))
        else:
            yield ".".join(map(str, (*above, key))) if above else key, value


class _Array:
    """What a pickle says of a NumPy array; nothing is allocated before it is found consistent."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        self.state = state if isinstance(state, tuple) else ()

    def tensor(self, what: str) -> Tensor:
        try:
            _, shape, dtype, fortran, raw = self.state
            kind = np.dtype(dtype.code)
            content = raw.encode("latin1") if isinstance(raw, str) else bytes(raw)
            if kind.kind not in "fiub" or len(content) != math.prod(shape) * kind.itemsize or min(shape, default=0) < 0:
                raise ValueError
            array = np.frombuffer(content, kind).reshape(shape, order="F" if fortran else "C")
            return torch.from_numpy(array.astype(kind.newbyteorder("=")))
        except (ValueError, TypeError, AttributeError, UnicodeEncodeError):
            raise WeightsError(f"{what} is no consistent array of numbers.") from None


class _DType:
    """What a pickle says of a NumPy type."""

    def __init__(self, code: Any) -> None:
        self.code = code if isinstance(code, str) and re.fullmatch(r"[<>=|]?[fiub]\d{0,2}", code) else ""

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
        self.code = f"{order}{self.code.lstrip('<>=|')}" if order in ("<", ">", "=", "|") and self.code else ""


def _array_globals() -> dict[str, StandIn]:
    def reconstruct(*args: Any) -> _Array:
        return _Array()

    def from_buffer(raw: Any, dtype: Any, shape: Any, order: Any) -> _Array:
        array = _Array()
        array.state = (1, shape, dtype, order == "F", raw)
        return array

    def encode(text: Any, encoding: Any = "latin1") -> bytes:
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("it encodes a text in a way that no array needs")
        return text.encode("latin1")

    def mapping(pairs: Any = ()) -> dict[Any, Any]:
        return dict(pairs)

    # NumPy 2 moved numpy.core; either spelling is found in files.
    spelt = {"numpy.ndarray": StandIn("numpy.ndarray")}
    for core in ("numpy.core", "numpy._core"):
        spelt[f"{core}.multiarray._reconstruct"] = StandIn("_reconstruct", reconstruct)
        spelt[f"{core}.numeric._frombuffer"] = StandIn("_frombuffer", from_buffer)
    return {
        **spelt,
        "numpy.dtype": StandIn("numpy.dtype", lambda code, *rest: _DType(code)),
        "_codecs.encode": StandIn("_codecs.encode", encode),
        "collections.OrderedDict": StandIn("OrderedDict", mapping),
    }


def _state_dict(content: Any, path: Path, nests: Sequence[str], size: int) -> dict[str, Tensor]:
    """Find the state dict in what a file holds; every tensor must own its numbers."""
    if isinstance(content, Mapping):
        content = next((content[key] for key in nests if isinstance(content.get(key), Mapping)), content)
    if not isinstance(content, Mapping) or not any(isinstance(value, Tensor) for value in content.values()):
        held = f" (its keys: {', '.join(map(str, list(content)[:5]))})" if isinstance(content, Mapping) else ""
        raise WeightsError(f"{path} holds no state dict: a mapping of names to tensors is due{held}.")
    tensors: dict[str, Tensor] = {}
    taken = 0
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise WeightsError(f"{path} holds no state dict: '{name}' is of type {type(value).__name__}, no tensor.")
        tensor = value.detach()
        if tensor.layout != torch.strided or tensor.is_meta or tensor.is_quantized:
            raise WeightsError(f"{path}: the tensor '{name}' is sparse, quantised or without content.")
        taken += tensor.numel() * tensor.element_size()
        # Strides of 0 and shared storages let a few bytes stand for any number of elements; a weight
        # that a network uses in two places is as much of it as is honest.
        if taken > 2 * size:
            raise WeightsError(f"{path}: its tensors claim more bytes than the file has, from '{name}' on.")
        tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _one_line(error: Exception) -> str:
    """Return the first sentence of an error, without the advice that PyTorch appends."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text.split(". ")[0][:200].rstrip(".")
