"""Reading a pickle without letting it run anything: every global is answered by the caller, or refused.

A pickle is a program that may call whatever it can name. Here a name leads only to a stand-in that the
caller provides; nothing is imported, and sizes are checked before memory is taken for them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable, Mapping
from typing import Any

from faceinv.errors import WeightsError

#: Opcodes that write to the memo; its C implementation makes room for the greatest index at once.
_MEMO = {"PUT", "BINPUT", "LONG_BINPUT"}


class StandIn:
    """An inert object in place of a global: it can be called, if at all, only with ``call``.

    It has no attributes that a pickle could set, so that no file can change what the next one meets.
    """

    __slots__ = ("_call", "_name")

    _name: str
    _call: Callable[..., Any] | None

    def __init__(self, name: str, call: Callable[..., Any] | None = None) -> None:
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_call", call)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError(f"it sets an attribute of {self._name}")

    def __call__(self, *args: Any) -> Any:
        """Return what ``call`` makes of the arguments."""
        if self._call is None:
            raise pickle.UnpicklingError(f"it calls {self._name}")
        return self._call(*args)


def read_pickle(
    data: bytes,
    allowed: Mapping[str, StandIn],
    *,
    source: str,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Return what a pickle describes, built of plain Python values and the caller's stand-ins.

    Args:
        data: The whole pickle; strings of Python 2 are decoded as Latin-1.
        allowed: ``"module.name"`` of each global that may occur, and what stands in for it.
        source: Where it came from, for messages.
        persistent: Resolves persistent ids (PyTorch's storages); without it they are refused.

    Raises:
        WeightsError: a global is not allowed (it is named), or the pickle is damaged.
    """
    _check_sizes(data, source)
    unpickler = _Unpickler(data, allowed, source, persistent)
    try:
        return unpickler.load()
    except WeightsError:
        raise
    except Exception as error:  # A damaged pickle can fail in any way that Python can.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{source} cannot be read as a pickle: {reason}.") from None


class _Unpickler(pickle.Unpickler):
    def __init__(
        self, data: bytes, allowed: Mapping[str, StandIn], source: str, persistent: Callable[[Any], Any] | None
    ) -> None:
        super().__init__(io.BytesIO(data), encoding="latin1")
        self._allowed = allowed
        self._source = source
        self._persistent = persistent

    def find_class(self, module: str, name: str) -> Any:
        try:
            return self._allowed[f"{module}.{name}"]
        except KeyError:
            raise WeightsError(
                f"{self._source} is refused: it is a pickle that needs '{module}.{name}', and code named by a file "
                "is never run. Save its tensors as safetensors where you trust the file."
            ) from None

    def persistent_load(self, pid: Any) -> Any:
        if self._persistent is None:
            raise pickle.UnpicklingError("it refers to data outside the pickle")
        return self._persistent(pid)


def _check_sizes(data: bytes, source: str) -> None:
    """Refuse a pickle that would take memory out of proportion to its length, or that breaks off."""
    try:
        for opcode, argument, position in pickletools.genops(data):
            # An honest pickle numbers its memo one by one, so an index never exceeds the position.
            if opcode.name in _MEMO and isinstance(argument, int) and argument > (position or 0) + 1:
                raise ValueError(f"memo index {argument} at byte {position}")
    except Exception as error:  # pickletools raises ValueError, UnicodeDecodeError, struct.error and more
        reason = " ".join(str(error).split()) or type(error).__name__
        raise WeightsError(f"{source} cannot be read as a pickle: {reason}.") from None
