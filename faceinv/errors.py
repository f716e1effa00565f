"""Errors a user can mend. Each carries the exit code that the command line ends with.

========  =====================================================================
code      meaning
========  =====================================================================
0         everything asked for was done
1         the run ended, but at least one cell (or input) failed
2         usage: an unknown name, a wrong option, a config that does not validate
3         input: an image, descriptor or data set that cannot be used
4         weights: a wrong hash, a missing tensor, a file that cannot be had
5         plugin: a plugin is broken, or two plugins clash
6         storage: a full disk, a folder that cannot be written
130       interrupted (Ctrl-C); what was computed is kept
========  =====================================================================
"""

from __future__ import annotations

import traceback as tracebacks
from collections.abc import Iterable
from dataclasses import dataclass


class FaceinvError(Exception):
    """A mistake that the user can mend; its text is one line and says how.

    Texts quote names out of files, which may hold anything: what a terminal would not print is escaped.
    """

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__("".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))


class UsageError(FaceinvError):
    """An unknown name, an option out of range, a config that does not validate."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A name that nothing is registered under."""


class InputError(FaceinvError):
    """An image, descriptor or data set that cannot be used."""

    exit_code = 3


class ShapeError(InputError):
    """A tensor whose shape or dtype is not what the contract says."""


class WeightsError(FaceinvError):
    """A weights file that is wrong, missing, or cannot be had."""

    exit_code = 4


class HashMismatchError(WeightsError):
    """A weights file whose SHA-256 is not the pinned one."""


class PluginError(FaceinvError):
    """A plugin that is broken or clashes with another."""

    exit_code = 5


class StorageError(FaceinvError):
    """A full disk, or a folder that cannot be written."""

    exit_code = 6


def shown(name: object, limit: int = 120) -> str:
    """Return ``name`` for a message, cut where it is longer than ``limit``."""
    text = str(name)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def first_five(names: Iterable[object]) -> str:
    """Return the first five names for a message, and how many more there are."""
    listed = list(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return ", ".join(map(shown, listed[:5])) + more


def suggest(given: str, known: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the closest of ``known``, or nothing."""
    # Not at the top: what every command imports should not wait for what a mistake needs.
    import difflib

    names = list(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if not close:
        # A tag may hide a good match: 'arcfase' is far from 'arcface.mobilefacenet'.
        heads = {name.split(".")[0]: name for name in reversed(names)}
        close = [heads[head] for head in difflib.get_close_matches(given.split(".")[0], heads, n=1, cutoff=0.6)]
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown_name(kind: str, given: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Build the error for ``given``, which is none of the ``known`` names of this ``kind``."""
    names = sorted(known)
    allowed = ", ".join(names) if names else "none"
    tail = f" {hint}" if hint else ""
    return UnknownNameError(f"Unknown {kind} '{given}'.{suggest(given, names)} Available: {allowed}.{tail}")


@dataclass(frozen=True)
class Failure:
    """Why something was not computed, in a form that crosses processes.

    Args:
        text: One line.
        exit_code: What the command line would end with.
        traceback: Where it came from, if nobody expected it.
    """

    text: str
    exit_code: int = 1
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """Return the failure that ``error`` stands for."""
        if isinstance(error, FaceinvError):
            return cls(str(error), error.exit_code)
        return cls(f"{type(error).__name__}: {error}", 1, "".join(tracebacks.format_exception(error)))
