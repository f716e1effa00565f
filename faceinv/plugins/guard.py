"""How the code of plugins is run: it may fail, but neither end the program nor print into its results."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import FrameType
from typing import Any

from faceinv.errors import FaceinvError, PluginError, described

_Handler = Callable[[int, FrameType | None], Any]


class EndedError(PluginError):
    """A plugin tried to end the program."""


@dataclass(frozen=True)
class Problem:
    """A plugin, or a part of one, that cannot be used.

    Args:
        plugin: Name of the plugin.
        distribution: Distribution it came from, or the path given with ``--plugin``.
        cause: The error, in one line.
    """

    plugin: str
    distribution: str
    cause: str

    def __str__(self) -> str:
        return f"plugin '{self.plugin}' ({self.distribution}): {self.cause}"


class _Remarks(io.TextIOBase):
    """Standard output of a plugin: it goes to standard error, and closing it closes nothing else."""

    def write(self, text: str, /) -> int:
        """Write to standard error."""
        return sys.stderr.write(text)

    def flush(self) -> None:
        """Flush standard error."""
        sys.stderr.flush()


@contextmanager
def guarded() -> Iterator[None]:
    """Run code of a plugin such that an ``Exception`` is the worst that comes out of the block.

    What it prints goes to standard error. ``SystemExit`` and other exceptions that end a program become an
    :class:`EndedError`; only the user's own Ctrl-C remains a ``KeyboardInterrupt``.
    """
    pressed = False

    def note(signum: int, frame: FrameType | None) -> None:
        nonlocal pressed
        pressed = True
        raise KeyboardInterrupt

    handler = _swapped(note)
    try:
        with redirect_stdout(_Remarks()), redirect_stderr(sys.stderr):
            yield
    except Exception:
        raise
    except BaseException as error:
        # Where Ctrl-C is ignored, as in the background of a shell, an interrupt can only be the plugin's own.
        unclear = handler is None and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if pressed or (isinstance(error, KeyboardInterrupt) and unclear):
            raise
        raise ended(error) from error
    finally:
        if handler is not None:
            signal.signal(signal.SIGINT, handler)


def _swapped(note: _Handler) -> _Handler | None:
    """Let ``note`` handle Ctrl-C and return the handler before; ``None`` where that is not for us to change."""
    before = signal.getsignal(signal.SIGINT)
    if not callable(before):
        return None
    try:
        signal.signal(signal.SIGINT, note)
    except ValueError:  # not in the main thread
        return None
    return before


def ended(error: BaseException) -> EndedError:
    """Return the error that stands for one that would end the program."""
    made = EndedError(f"it raised {described(error)}, which would end the program")
    made.__cause__ = error
    return made


def excused(error: BaseException) -> bool:
    """Return whether an error of a plugin's code is no fault of the plugin: a declared one, or the machine's."""
    declared = isinstance(error, FaceinvError) and not isinstance(error, EndedError)
    # torch's own class, by name: this package imports no torch.
    short = any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__)
    return declared or short or isinstance(error, (MemoryError, OSError))


def reason(error: BaseException) -> str:
    """Return why a plugin failed, in one line."""
    return " ".join(str(error).split()) if isinstance(error, PluginError) else described(error)
