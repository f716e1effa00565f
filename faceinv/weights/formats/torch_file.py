"""Tensors in PyTorch files: described first, read on demand.

We read the file ourselves rather than with ``torch.load``, so that nothing in it is executed; ``weights_only=True``
has had flaws, too (CVE-2025-32434). Two containers are supported: the zip archive that ``torch.save`` writes since
1.6, and the older stream of five pickles followed by the raw numbers, which is also embedded in pickled tensors. Their
pickles are read by :mod:`faceinv.weights.formats.pickle`. Every size is compared with the bytes that are left before
memory is allocated for it.
"""

from __future__ import annotations

import io
import math
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any

import torch
from torch import Tensor

from faceinv.errors import WeightsError
from faceinv.weights.formats.pickle import Budget, Builder, Global, Stream, encode_latin1, ignore, interpret

_DTYPES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

#: First bytes of the older stream: its magic number as a separate pickle.
STREAM_HEAD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."

#: First pickle of the older stream, and the only protocol version that exists.
_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_PICKLE_LIMIT = 1 << 28


@dataclass(eq=False)
class Storage:
    """A block of numbers in a file.

    Args:
        dtype: Type of the numbers.
        length: Number of numbers.
        read: Returns their bytes.
    """

    dtype: torch.dtype
    length: int
    read: Callable[[], bytearray]
    _numbers: Tensor | None = field(default=None, init=False, repr=False)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.length * self.dtype.itemsize

    def view(self, shape: tuple[int, ...], stride: tuple[int, ...], offset: int) -> Tensor:
        """Return some of the numbers as a contiguous tensor with its own memory.

        The storage of many small tensors is kept in memory, so that it is read once. One that a single tensor fills
        is given to it, without a copy.
        """
        if self._numbers is None:
            # frombuffer shares the memory of its argument.
            self._numbers = torch.frombuffer(self.read(), dtype=self.dtype)
        view = torch.as_strided(self._numbers, shape, stride, offset)
        if view.numel() < self.length:
            return view.clone(memory_format=torch.contiguous_format)
        self._numbers = None
        return view.contiguous()


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that has not been read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """Size of the tensor in bytes, once read."""
        return math.prod(self.shape) * self.storage.dtype.itemsize

    def read(self) -> Tensor:
        """Return the tensor, contiguous, with its own memory."""
        if not math.prod(self.shape):
            return torch.empty(self.shape, dtype=self.storage.dtype)
        return self.storage.view(self.shape, self.stride, self.offset)


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> StoredTensor:
    """Stand in for ``torch._utils._rebuild_tensor_v2``."""
    numbers = (offset, *shape, *stride)
    if not isinstance(storage, Storage) or not all(isinstance(n, int) and 0 <= n < 1 << 62 for n in numbers):
        raise ValueError("a tensor with an invalid size")
    if len(shape) != len(stride) or len(shape) > 8:
        raise ValueError("a tensor with an invalid rank")
    count = math.prod(shape)
    last = offset + sum((n - 1) * step for n, step in zip(shape, stride, strict=True)) if count else 0
    # A stride of 0 could turn one number into a huge tensor.
    if count > storage.length or last >= max(storage.length, 1):
        raise WeightsError(f"the file is damaged: a tensor ({_shown(shape)}) needs more numbers than the file has")
    return StoredTensor(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    """Stand in for ``torch._utils._rebuild_parameter``."""
    return data


def empty_dictionary(*items: Any) -> dict[Any, Any]:
    """Stand in for an ordered dictionary, which adds its items after construction.

    Raises:
        ValueError: if it is constructed with items; copying them many times could fill the memory.
    """
    if items:
        raise ValueError("a dictionary built from items")
    return {}


_STORAGE_BUILDERS: Mapping[str, Builder] = {f"torch.{name}": ignore for name in _DTYPES}

#: Stand-ins for the globals of tensors, and of other objects in checkpoints.
TENSOR_BUILDERS: Mapping[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "collections.OrderedDict": empty_dictionary,
    "collections.defaultdict": lambda *_: {},
    "torch.Size": ignore,
    "torch.device": ignore,
    "builtins.set": ignore,
    "__builtin__.set": ignore,
    "numpy.dtype": ignore,
    "numpy.core.multiarray.scalar": ignore,
    "numpy._core.multiarray.scalar": ignore,
    "_codecs.encode": encode_latin1,
    **_STORAGE_BUILDERS,
}


def load_from_bytes(content: Any, *, budget: Budget) -> Storage:
    """Stand in for ``torch.storage._load_from_bytes``, which reads one storage from the older stream."""
    if not isinstance(content, bytes):
        raise ValueError("a storage that is not bytes")
    storage = read_stream(io.BytesIO(content), len(content), _STORAGE_BUILDERS, budget=budget)
    if not isinstance(storage, Storage):
        raise ValueError("the storage is missing")
    return storage


def read_stream(stream: Stream, length: int, builders: Mapping[str, Builder], *, budget: Budget) -> Any:
    """Return the content of the older stream of ``torch.save``, with tensors as :class:`StoredTensor`.

    Args:
        stream: Stream, at its start.
        length: Size of the stream in bytes.
        builders: Stand-ins for globals, including ``"torch.FloatStorage"`` and the like.
        budget: Steps and memory that its pickles may use.

    Raises:
        WeightsError: if it is not such a stream, is damaged, or names a global without a stand-in.
    """
    if interpret(stream, {}, budget=budget) != _MAGIC or interpret(stream, {}, budget=budget) != _PROTOCOL:
        raise WeightsError("it was not written by torch.save")
    system = interpret(stream, {}, budget=budget)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise WeightsError("it was written on a big-endian machine, which is not supported")
    places: dict[str, int] = {}
    declared: dict[str, Storage] = {}

    def persistent(value: Any) -> Storage:
        dtype, key, count = _storage_id(value)
        # The numbers follow in the same stream, so they cannot take more bytes than it has.
        if count * dtype.itemsize > length:
            raise WeightsError(f"the file is damaged or cut short: a storage claims {count:,} numbers")
        return declared.setdefault(key, Storage(dtype, count, lambda: numbers(key)))

    def numbers(key: str) -> bytearray:
        budget.take(declared[key].nbytes)
        stream.seek(places[key])
        return _filled(stream.read, declared[key].nbytes)

    described = interpret(stream, builders, persistent, budget=budget)
    keys = interpret(stream, {}, budget=budget)
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys) or sorted(keys) != sorted(declared):
        raise WeightsError("the file is damaged: its list of storages does not match its description")
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        places[key] = stream.tell()
        end = places[key] + declared[key].nbytes
        if count != declared[key].length or end > length:
            raise WeightsError("the file is damaged or cut short: a storage is incomplete")
        stream.seek(end)
    return described


def read_archive(file: IO[bytes], length: int, builders: Mapping[str, Builder], *, budget: Budget) -> Any:
    """Return the content of a zip archive of ``torch.save``, with tensors as :class:`StoredTensor`.

    Args:
        file: The archive; it must stay open until all tensors are read.
        length: Size of the file in bytes.
        builders: Stand-ins for globals.
        budget: Steps and memory that its pickle may use.

    Raises:
        WeightsError: if it is not such an archive, is damaged, or names a global without a stand-in.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, OverflowError, NotImplementedError) as error:
        raise WeightsError(f"the file is damaged or cut short: {error}") from None
    records = {info.filename: info for info in archive.infolist()}
    root = next((name[: -len("data.pkl")] for name in records if name.endswith("/data.pkl")), None)
    if root is None or len(records) != len(archive.infolist()):
        raise WeightsError("it is a zip archive, but not one of torch.save")

    def content(name: str, size: int | None = None) -> bytearray:
        info = records.get(name)
        # torch.save does not compress, so no record is larger than the file.
        if info is None or info.compress_type != zipfile.ZIP_STORED or info.file_size > length:
            raise WeightsError(f"the file is damaged: the record {name[:80]!r} is missing or compressed")
        if size is not None and info.file_size != size:
            raise WeightsError(f"the file is damaged: {name[:80]!r} has {info.file_size} bytes, not {size}")
        budget.take(info.file_size)
        try:
            with archive.open(info) as record:
                # Reading past the end makes zipfile compare the checksum.
                numbers = _filled(record.read, info.file_size)
                record.read(1)
                return numbers
        except (zipfile.BadZipFile, EOFError, OSError, struct.error, ValueError, RuntimeError) as error:
            raise WeightsError(f"the file is damaged or cut short: {error}") from None

    if f"{root}byteorder" in records and content(f"{root}byteorder") != b"little":
        raise WeightsError("it was written on a big-endian machine, which is not supported")

    declared: dict[tuple[torch.dtype, str, int], Storage] = {}

    def persistent(value: Any) -> Storage:
        dtype, key, count = found = _storage_id(value)
        if found not in declared:
            declared[found] = Storage(dtype, count, lambda: content(f"{root}data/{key}", count * dtype.itemsize))
        return declared[found]

    if records[f"{root}data.pkl"].file_size > _PICKLE_LIMIT:
        raise WeightsError("the file is damaged: its description is larger than any network's")
    return interpret(io.BytesIO(content(f"{root}data.pkl")), builders, persistent, budget=budget)


def _filled(read: Callable[[int], bytes], size: int) -> bytearray:
    """Return ``size`` bytes, read in blocks so that a large array is not in memory twice."""
    buffer = bytearray(size)
    place = 0
    while place < size:
        part = read(min(size - place, 1 << 20))
        if not part:
            raise EOFError("unexpected end of file")
        buffer[place : place + len(part)] = part
        place += len(part)
    return buffer


def _storage_id(value: Any) -> tuple[torch.dtype, str, int]:
    """Return the type, key and length of the storage that a persistent id describes."""
    if not isinstance(value, tuple) or len(value) not in (5, 6) or value[0] != "storage":
        raise ValueError("a persistent id that is not a storage")
    kind, key, count = value[1], value[2], value[4]
    if not isinstance(kind, Global) or not isinstance(key, str) or not isinstance(count, int):
        raise ValueError("a storage of unknown type")
    # The sixth element, a view into another storage, was abandoned before StyleGAN2 came out.
    if not 0 <= count < 1 << 62 or (len(value) == 6 and value[5] is not None):
        raise ValueError("a storage with an invalid size")
    return _DTYPES[kind.name.removeprefix("torch.")], key, count


def _shown(shape: tuple[int, ...]) -> str:
    return "x".join(str(n) for n in shape[:8])
