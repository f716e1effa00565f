"""A reader of pickles that does not unpickle.

We read the file ourselves rather than with ``torch.load``, so that nothing in it is executed: a pickle is a program
that may call anything it can name. ``pickletools`` of the standard library decodes the opcodes, and :func:`interpret`
carries them out on its own stack of numbers, strings, bytes and containers. A class or function that the pickle names
(a *global*) is replaced by one of the given builders; if there is none for it, the file is refused. Nothing is
imported, no attribute is read or set, and time and memory are bounded by a :class:`Budget`.
"""

from __future__ import annotations

import codecs
import pickletools
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from faceinv.errors import WeightsError

#: Called in place of a global, with the arguments in the pickle.
Builder = Callable[..., Any]

#: Limit on the steps of a file: published ones take about 50,000, and this many end within seconds.
MAX_STEPS = 2_000_000

_MARK = object()

_LITERALS = frozenset(
    opcode.name
    for opcode in pickletools.opcodes
    if re.fullmatch(
        r"(BIN)?INT[12]?|LONG[14]?|(BIN)?FLOAT|(SHORT_)?(BIN)?(STRING|UNICODE|BYTES)8?|BYTEARRAY8", opcode.name
    )
)
_CONSTANTS: Mapping[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY: Mapping[str, Callable[[], Any]] = {"EMPTY_DICT": dict, "EMPTY_LIST": list, "EMPTY_SET": list}
_TUPLES: Mapping[str, int] = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_OPCODES = {opcode.code.encode("latin1"): opcode for opcode in pickletools.opcodes}

#: Errors that ``pickletools``, the stack and the builders raise on a malformed stream.
_MALFORMED = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    EOFError,
    OverflowError,
    MemoryError,
    RecursionError,
)


class Stream(Protocol):
    """A byte stream whose ``read`` allocates no more than the bytes that are left."""

    def read(self, size: int = ..., /) -> bytes:
        """Return at most ``size`` bytes."""
        ...

    def readline(self) -> bytes:
        """Return the bytes up to the next line feed."""
        ...

    def tell(self) -> int:
        """Return the current position."""
        ...

    def seek(self, position: int, /) -> object:
        """Move to a position."""
        ...


@dataclass
class Budget:
    """The steps and memory that the pickles of one file may still use, together.

    Args:
        steps: Opcodes.
        handed: Bytes of strings and bytes, and items of containers, passed to builders. A pickle can refer to one
            large object many times, and a builder may copy it.
        read: Bytes of numbers read from the file. The entries of an archive can overlap.
    """

    steps: int
    handed: int
    read: int

    @classmethod
    def of(cls, length: int) -> Budget:
        """Return the budget of a file of ``length`` bytes.

        A well-formed file passes each byte once, and reads it once for each tensor that is stored there; two networks
        in one file may share their tensors.
        """
        return cls(MAX_STEPS, 2 * length + (1 << 16), 3 * length + (1 << 16))

    def step(self) -> None:
        """Deduct one opcode, or raise :class:`WeightsError`."""
        self.steps -= 1
        if self.steps < 0:
            raise WeightsError(f"its pickle takes more than {MAX_STEPS:,} steps")

    def hand(self, arguments: tuple[Any, ...]) -> None:
        """Deduct the arguments of one call, or raise :class:`WeightsError`."""
        self.handed -= sum(
            len(value) for value in arguments if isinstance(value, (str, bytes, bytearray, list, tuple, dict))
        )
        if self.handed < 0:
            raise WeightsError("its pickle expands to more data than the file contains")

    def take(self, size: int) -> None:
        """Deduct ``size`` bytes that are about to be read, or raise :class:`WeightsError`."""
        self.read -= size
        if self.read < 0:
            raise WeightsError("its tensors take more bytes than the file contains")


@dataclass(frozen=True)
class Ignored:
    """Placeholder for an object that no network needs, such as a training option."""


@dataclass(frozen=True)
class Global:
    """A class or function that the pickle names, with its stand-in."""

    name: str
    build: Builder


class Stateful:
    """Base of objects that take the state the pickle gives them after construction; other objects ignore it."""

    def set_state(self, state: Any) -> None:
        """Store the state, which may be any object."""
        raise NotImplementedError


def is_key(value: object) -> bool:
    """Return whether ``value`` can be a key: a string or an integer of ordinary size."""
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < 1 << 63)


def ignore(*_: object) -> Ignored:
    """Stand in for a global whose result is not needed."""
    return Ignored()


def encode_latin1(text: Any, encoding: Any = "latin1") -> bytes:
    """Stand in for ``_codecs.encode``, which represents bytes in pickles of protocol 0 to 2.

    Raises:
        ValueError: if ``text`` is not a string, or the encoding is not Latin-1.
    """
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("bytes in an encoding that pickle does not use")
    return text.encode("latin1")


def interpret(
    stream: Stream,
    builders: Mapping[str, Builder],
    persistent: Callable[[Any], Any] | None = None,
    *,
    budget: Budget,
) -> Any:
    """Return the object that the pickle at the stream's position describes; leave the stream at the pickle's end.

    Sets become lists, ordered dictionaries become dictionaries, and strings of Python 2 are read as Latin-1.

    Args:
        stream: An ``mmap`` or ``BytesIO``, so that a wrong length in the file allocates no memory.
        builders: Stand-ins by ``"module.name"`` of the global.
        persistent: Resolves persistent ids; without it, a pickle that has them is refused.
        budget: Steps and memory that it may use.

    Raises:
        WeightsError: if a global or an opcode is not allowed, or the stream is malformed. The message gives the
            reason but not the file.
    """
    machine = _Machine(builders, persistent, budget)
    try:
        while code := stream.read(1):
            budget.step()
            opcode = _OPCODES[code]
            if opcode.name == "STOP":
                return machine.pop()
            if opcode.name == "STRING":
                argument: Any = _string(stream.readline())
            else:
                # The stub asks for IO[bytes], but only read and readline are used.
                argument = opcode.arg.reader(stream) if opcode.arg else None  # type: ignore[arg-type]
            machine.step(opcode.name, argument)
    except _MALFORMED as error:
        raise WeightsError(f"the file is damaged or cut short ({type(error).__name__} in its pickle)") from None
    raise WeightsError("the file is cut short: its pickle does not end")


def _string(line: bytes) -> str:
    """Return the string of Python 2 in a line of protocol 0, which ``pickletools`` would decode as ASCII."""
    quoted = line.removesuffix(b"\n")
    if len(quoted) < 2 or quoted[:1] != quoted[-1:] or quoted[:1] not in (b"'", b'"'):
        raise ValueError("a string without quotes")
    return codecs.escape_decode(quoted[1:-1])[0].decode("latin1")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(
        self, builders: Mapping[str, Builder], persistent: Callable[[Any], Any] | None, budget: Budget
    ) -> None:
        self.stack: list[Any] = []
        # A dictionary: a list, as in the C unpickler, would grow to the largest index in the file.
        self.memo: dict[int, Any] = {}
        self.builders = builders
        self.persistent = persistent
        self.budget = budget

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError("a mark instead of a value")
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
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            self.stack.append(self.memo[argument])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[argument] = self.stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = self.stack[-1]
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name in ("TUPLE", "LIST", "DICT", "APPEND", "APPENDS", "ADDITEMS", "SETITEM", "SETITEMS"):
            self._fill(name)
        else:
            self._compose(name, argument)

    def _fill(self, name: str) -> None:
        """Carry out an opcode that builds a container from the stack, or adds to one."""
        if name == "TUPLE":
            self.stack.append(tuple(self.since_mark()))
        elif name == "LIST":
            self.stack.append(self.since_mark())
        elif name in ("APPEND", "APPENDS", "ADDITEMS"):
            values = [self.pop()] if name == "APPEND" else self.since_mark()
            self._top(list).extend(values)
        else:
            values = [self.pop(), self.pop()][::-1] if name == "SETITEM" else self.since_mark()
            # These files have no other keys, and hashing nested tuples can take very long.
            if not all(map(is_key, values[::2])):
                raise ValueError("a key that is neither a string nor a number")
            if name == "DICT":
                self.stack.append({})
            self._top(dict).update(zip(values[::2], values[1::2], strict=True))

    def _compose(self, name: str, argument: Any) -> None:
        """Carry out an opcode that names or calls a global, or refuse it."""
        if name == "GLOBAL":
            # pickletools joins module and name by a space.
            self.stack.append(self._global(".".join(argument.split(" ", 1))))
        elif name == "STACK_GLOBAL":
            attribute, module = self.pop(), self.pop()
            if not isinstance(module, str) or not isinstance(attribute, str):
                raise ValueError("a global whose name is not a string")
            self.stack.append(self._global(f"{module}.{attribute}"))
        elif name in ("REDUCE", "NEWOBJ"):
            arguments, function = self.pop(), self.pop()
            if not isinstance(function, Global) or not isinstance(arguments, tuple):
                raise WeightsError("its pickle calls an object that is not a function")
            self.budget.hand(arguments)
            self.stack.append(function.build(*arguments))
        elif name == "BUILD":
            state, target = self.pop(), self.stack[-1]
            if isinstance(target, Global):
                raise WeightsError(f"its pickle modifies {target.name}")
            if isinstance(target, Stateful):
                target.set_state(state)
        elif name in ("PERSID", "BINPERSID") and self.persistent is not None:
            self.stack.append(self.persistent(argument if name == "PERSID" else self.pop()))
        elif name == "INST":
            self._global(".".join(argument.split(" ", 1)))
            raise WeightsError("its pickle creates an instance with the opcode INST of Python 2")
        else:
            raise WeightsError(f"its pickle uses the opcode {name}, which no file of tensors needs")

    def _top(self, kind: type) -> Any:
        if not isinstance(self.stack[-1], kind):
            raise ValueError(f"a {kind.__name__} is missing")
        return self.stack[-1]

    def _global(self, name: str) -> Global:
        builder = self.builders.get(name)
        if builder is None:
            shown = name if len(name) <= 80 else f"{name[:77]}..."
            raise WeightsError(
                f"it is a pickle that needs {shown!r}, and code named by a file is never run; if you trust it, load it "
                "elsewhere and save only its tensors"
            )
        return Global(name, builder)
