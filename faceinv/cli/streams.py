"""Standard output is for results alone, and may be a pipe whose reader leaves early."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

#: What stands for characters that an encoding may lack. A lost minus would be another number.
_PLAIN = {
    "−": "-", "–": "-", "—": "-", "…": "...", "↑": "^", "↓": "v", "×": "x", "Δ": "d", "²": "2", "✓": "+", "✗": "x",
}  # fmt: skip
#: Name of the error handler that puts it there.
_NEAREST = "faceinv.nearest"


def _nearest(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(letter, "?") for letter in error.object[error.start : error.end]), error.end


codecs.register_error(_NEAREST, _nearest)


class _Pipe(io.FileIO):
    """A pipe or file. Once its reader has gone, what is written is dropped."""

    def write(self, data: Any, /) -> int:
        """Write ``data``, or drop it if nobody reads any more."""
        try:
            return super().write(data)
        except BrokenPipeError:
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return len(data)


@contextmanager
def own_streams() -> Iterator[None]:
    """Keep standard output for results while the block runs.

    What native code, a child process or a plugin writes to the descriptor of standard output goes to standard error
    instead. Characters that a stream's encoding lacks are replaced. A reader such as ``head`` may leave early: the
    command still does all of its work.
    """
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _tolerant(before[0]), _tolerant(before[1])
    results = os.dup(1) if sys.stdout is not before[0] and _number(before[0]) == 1 else None
    if results is not None and _number(before[1]) == 2:
        os.dup2(2, 1)
    try:
        yield
    finally:
        if results is not None:
            os.dup2(results, 1)
            os.close(results)
        for stream, original in zip((sys.stdout, sys.stderr), before, strict=True):
            if stream is not original:
                with suppress(OSError, ValueError):
                    stream.close()
        sys.stdout, sys.stderr = before


def _tolerant(stream: TextIO | None) -> TextIO:
    """Return ``stream`` such that neither its encoding nor its reader can end the program."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper) or _number(stream) is None:
        return stream
    errors = _NEAREST if stream.errors == "strict" else stream.errors
    if stream.isatty():
        stream.reconfigure(errors=errors)
        return stream
    stream.flush()
    pipe = io.BufferedWriter(_Pipe(os.dup(stream.fileno()), "wb"))
    return io.TextIOWrapper(pipe, stream.encoding, errors, line_buffering=stream is sys.stderr)


def _number(stream: TextIO | None) -> int | None:
    """Return the descriptor of ``stream``, or ``None`` for one of a notebook or a test."""
    try:
        return stream.fileno() if stream is not None else None
    except (OSError, ValueError):
        return None
