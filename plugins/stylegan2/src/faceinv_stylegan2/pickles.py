"""Reads a pickle without unpickling it: nothing in the file can run.

``pickletools`` of the standard library decodes the opcodes; :func:`interpret` follows them with a
stack of its own, which knows numbers, text, bytes and containers. Where a pickle names a class or
a function (a *global*), it gets one of the builders handed in, which are ours, or the file is
refused by that name. Nothing is imported, no attribute is looked up, and no object in the file
gets to see another one's methods.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from faceinv.errors import WeightsError

#: Called with the arguments that the pickle gives, in place of the global of that name.
Builder = Callable[..., Any]

#: More steps than any published file takes (some 50,000), few enough to end soon.
MAX_OPCODES = 2_000_000

_MARK = object()

_LITERALS = frozenset(
    [
        "BININT",
        "BININT1",
        "BININT2",
        "LONG1",
        "LONG4",
        "BINFLOAT",
        "BINUNICODE",
        "SHORT_BINUNICODE",
        "BINUNICODE8",
        "BINBYTES",
        "SHORT_BINBYTES",
        "BINBYTES8",
        "BINSTRING",
        "SHORT_BINSTRING",
    ]
)
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}
_TUPLES: Mapping[str, int] = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}

#: What a malformed stream makes ``pickletools`` and the stack raise.
MALFORMED = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class Stream(Protocol):
    """Bytes whose ``read`` returns at most what is there, however much is asked for."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes."""
        ...

    def readline(self) -> bytes:
        """Return the bytes up to the next line feed."""
        ...

    def tell(self) -> int:
        """Return the position."""
        ...

    def seek(self, position: int, /) -> object:
        """Go to a position."""
        ...


@dataclass(frozen=True)
class Ignored:
    """Stands for something in the file that no network needs, such as a NumPy scalar."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names, and what stands in for it."""

    name: str
    build: Builder


def ignore(*_: object) -> Ignored:
    """Stand in for a global whose result is not needed."""
    return Ignored()


def interpret(
    stream: Stream,
    builders: Mapping[str, Builder],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Return what the pickle at the stream's position describes.

    Sets come out as lists, ordered dictionaries as dictionaries.

    Args:
        stream: An ``mmap`` or ``BytesIO``: a length in the file that exceeds what is there then
            costs no memory.
        builders: Stand-ins by ``"module.name"`` of the global.
        persistent: Resolves persistent ids; without it a pickle that has them is refused.

    Raises:
        WeightsError: a global or an opcode that is not allowed, or a malformed stream. The text
            names the offence and no file.
    """
    machine = _Machine(builders, persistent)
    try:
        # The stub asks for IO[bytes]; read, readline and tell are all that is used.
        for count, (opcode, argument, _) in enumerate(pickletools.genops(stream)):  # type: ignore[arg-type]
            if count >= MAX_OPCODES:
                raise WeightsError(f"its pickle has more than {MAX_OPCODES:,} steps")
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except MALFORMED as error:
        raise WeightsError(f"the file is damaged or cut short ({type(error).__name__} in its pickle)") from None
    raise WeightsError("the file is cut short: its pickle does not end")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self, builders: Mapping[str, Builder], persistent: Callable[[Any], Any] | None) -> None:
        self.stack: list[Any] = []
        # A dictionary, where the C unpickler fills an array up to the greatest index in the file.
        self.memo: dict[int, Any] = {}
        self.builders = builders
        self.persistent = persistent

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark where a value is due")
        return value

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("no mark")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def step(self, name: str, argument: Any) -> None:
        """Carry out one opcode."""
        if name in ("PROTO", "FRAME"):
            return
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _EMPTY:
            self.stack.append(_EMPTY[name]())
        elif name in _TUPLES:
            values = [self.pop() for _ in range(_TUPLES[name])]
            self.stack.append(tuple(reversed(values)))
        elif name in ("BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name == "MARK":
            self.stack.append(_MARK)
        else:
            self._compose(name, argument)

    def _compose(self, name: str, argument: Any) -> None:
        """Carry out an opcode that fills a container, or names or calls a global."""
        if name == "TUPLE":
            self.stack.append(tuple(self.since_mark()))
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            values = [self.pop()] if name == "APPEND" else self.since_mark()
            self._top(list).extend(values)
        elif name in ("SETITEM", "SETITEMS"):
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.since_mark()
            # Other keys have no place in these files, and hashing nested tuples can take for ever.
            if not all(isinstance(key, (str, int)) for key in values[::2]):
                raise ValueError("a key that is neither text nor a number")
            self._top(dict).update(zip(values[::2], values[1::2], strict=True))
        elif name == "GLOBAL":
            # pickletools joins module and name with a space.
            self.stack.append(self._global(".".join(argument.split(" ", 1))))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise ValueError("a global whose name is no text")
            self.stack.append(self._global(f"{module}.{attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            if not isinstance(function, Global) or not isinstance(arguments, tuple):
                raise WeightsError("its pickle calls something that is no function")
            self.stack.append(function.build(*arguments))
        elif name == "BUILD":
            # The state of a stand-in is of no use; that of a persistent object is in its arguments.
            self.pop()
            if isinstance(self.stack[-1], Global):
                raise WeightsError(f"its pickle changes {self.stack[-1].name}")
        elif name == "BINPERSID" and self.persistent is not None:
            self.stack.append(self.persistent(self.pop()))
        else:
            raise WeightsError(f"its pickle uses the opcode {name}, which no StyleGAN2 file needs")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"no {kind.__name__} where one is due")
        return self.stack[-1]

    def _global(self, name: str) -> Global:
        builder = self.builders.get(name)
        if builder is None:
            shown = name if len(name) <= 80 else f"{name[:77]}..."
            raise WeightsError(f"it asks for {shown!r}, which no StyleGAN2 file needs; nothing in it was run")
        return Global(name, builder)
