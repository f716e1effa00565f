"""Errors that a user can fix, each with the exit code of the command line.

========  =====================================================================
code      meaning
========  =====================================================================
0         everything succeeded
1         the run finished, but at least one cell (or input) failed
2         usage: an unknown name, a wrong option, an invalid config
3         input: an image, descriptor or data set that cannot be used
4         weights: a wrong hash, a missing tensor, a file that cannot be fetched
5         plugin: a broken plugin, or two plugins that clash
6         storage: a full disk, a folder that cannot be written
130       interrupted (Ctrl-C); finished results are kept
========  =====================================================================
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Iterable
from dataclasses import dataclass


class FaceinvError(Exception):
    """An error that the user can fix; its message is one line and says how.

    Messages quote names from files, which may contain anything: unprintable characters are escaped.
    """

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


class UsageError(FaceinvError):
    """An unknown name, an option out of range, or an invalid config."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name under which nothing is registered."""


class InputError(FaceinvError):
    """An image, descriptor or data set that cannot be used."""

    exit_code = 3


class ShapeError(InputError):
    """A tensor whose shape or dtype violates the contract."""


class WeightsError(FaceinvError):
    """A weights file that is wrong or missing, or cannot be fetched."""

    exit_code = 4


class HashMismatchError(WeightsError):
    """A weights file whose SHA-256 differs from the pinned one."""


class PluginError(FaceinvError):
    """A plugin that is broken, or clashes with another."""

    exit_code = 5


class StorageError(FaceinvError):
    """A full disk, or a folder that cannot be written."""

    exit_code = 6


def shown(name: object, limit: int = 120) -> str:
    """Return ``name`` for a message, cut to ``limit`` characters."""
    text = str(name)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_five(names: Iterable[object]) -> str:
    """Return the first five names for a message, and the number of the others."""
    listed = list(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(map(shown, listed[:5])) + more


def suggest(given: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` with the closest of the ``known`` names, or an empty string."""
    # Imported lazily: only needed after a typo.
    import difflib

    names = list(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if not close:
        # Compare without tags: 'arcfase' is far from 'arcface.mobilefacenet', but close to 'arcface'.
        heads = {name.split(".")[0]: name for name in reversed(names)}
        close = [heads[head] for head in difflib.get_close_matches(given.split(".")[0], heads, n=1, cutoff=0.6)]
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown_name(kind: str, given: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Return the error for ``given``, which is not among the ``known`` names of this ``kind``."""
    names = sorted(known)
    allowed = ", ".join(names) if names else "none"
    tail = f" {hint}" if hint else ""
    return UnknownNameError(f"Unknown {kind} '{given}'.{suggest(given, names)} Available: {allowed}.{tail}")


@dataclass(frozen=True)
class Failure:
    """The reason why something was not computed, in a form that can be sent between processes.

    Args:
        text: The error in one line.
        exit_code: Exit code of the command line.
        traceback: Traceback of an unexpected error.
    """

    text: str
    exit_code: int = 1
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure that describes ``error``."""
        if isinstance(error, FaceinvError):
            return cls(str(error), error.exit_code)
        return cls(f"{type(error).__name__}: {error}", 1, "".join(tracebacks.format_exception(error)))
