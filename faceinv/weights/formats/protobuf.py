"""The wire format of protocol buffers: numbered fields, read one by one without a schema compiler.

Source: "Encoding", the Protocol Buffers documentation. Nothing is copied: a field is a view into the file's bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from faceinv.errors import WeightsError

#: Most fields of one message; each costs time even if it is empty.
MAX_FIELDS = 1_000_000

_FIXED = {1: 8, 5: 4}


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and the content of each field: an integer below 2^64, or the bytes of anything else.

    Raises:
        WeightsError: if the message is cut off or not a protocol buffer, or has too many fields.
    """
    place, count = 0, 0
    while place < len(message):
        count += 1
        if count > MAX_FIELDS:
            raise WeightsError(f"a part of it has more than {MAX_FIELDS:,} fields")
        key, place = _varint(message, place)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, place = _varint(message, place)
            yield number, value
            continue
        if wire == 2:
            length, place = _varint(message, place)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise WeightsError("it is not a protocol buffer")
        if length > len(message) - place:
            raise WeightsError("it is cut off or damaged: a field is longer than what contains it")
        yield number, message[place : place + length]
        place += length


def signed(value: int | memoryview) -> int:
    """Return a field of type ``int64`` or ``int32``, which may be negative."""
    if isinstance(value, memoryview):
        raise WeightsError("it has bytes where a whole number is expected")
    return value - (1 << 64) if value >> 63 else value


def inside(value: int | memoryview) -> memoryview:
    """Return the bytes of a field that is a message, a string or packed numbers."""
    if isinstance(value, int):
        raise WeightsError("it has a number where a message is expected")
    return value


def text(value: int | memoryview) -> str:
    """Return a field of type ``string``."""
    try:
        return str(inside(value), "utf-8")
    except UnicodeDecodeError:
        raise WeightsError("a name in it is not UTF-8") from None


def numbers(value: int | memoryview) -> list[int]:
    """Return the integers of one field: a single one, or many that are packed."""
    if isinstance(value, int):
        return [signed(value)]
    found, place = [], 0
    while place < len(value):
        number, place = _varint(value, place)
        found.append(signed(number))
    return found


def floats(value: int | memoryview) -> tuple[float, ...]:
    """Return the 32-bit floats of one field: a single one, or many that are packed."""
    packed = inside(value)
    if len(packed) % 4:
        raise WeightsError("a list of floats in it is cut off")
    return struct.unpack(f"<{len(packed) // 4}f", packed)


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(message) and shift < 70:
        byte = message[place]
        place += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value & (1 << 64) - 1, place
        shift += 7
    raise WeightsError("it is cut off or damaged: a number has no end")
