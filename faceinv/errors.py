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
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Longest message, in characters. A longer one is cut in the middle: it begins with the cause and ends with the remedy.
LONGEST = 2000
#: Most names that a message lists.
_LISTED = 60


class FaceinvError(Exception):
    """An error that the user can fix; its message is one line and says how.

    Messages quote names from files, which may contain anything: unprintable characters are escaped, and the
    length is bounded.
    """

    exit_code = 1

    def __init__(self, text: str = "") -> None:
        super().__init__(shown(text, LONGEST))


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


class UntrustedError(WeightsError):
    """Weights files that the user must trust first.

    Args:
        facts: What is known of each file, by its SHA-256.
    """

    def __init__(self, facts: Mapping[str, str]) -> None:
        self.facts = dict(facts)
        options = " ".join(f"--trust-sha256 {sha256}" for sha256 in self.facts)
        these = "it is the right file" if len(self.facts) == 1 else "these are the right files"
        super().__init__(f"{' '.join(self.facts.values())} If {these}: faceinv {options} COMMAND …")

    def __reduce__(self) -> tuple[type[UntrustedError], tuple[dict[str, str]]]:
        """Return what makes the error again in another process."""
        return UntrustedError, (self.facts,)


class HashMismatchError(WeightsError):
    """A weights file whose SHA-256 differs from the pinned one."""


class PluginError(FaceinvError):
    """A plugin that is broken, or clashes with another."""

    exit_code = 5


class StorageError(FaceinvError):
    """A full disk, or a folder that cannot be written."""

    exit_code = 6


def visible(text: str) -> str:
    """Return ``text`` with escapes in place of what would move the cursor, reverse the text or not be shown at all."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or unicodedata.category(letter) == "Zs" else _escaped(letter) for letter in text
    )


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape", "surrogatepass").decode()


def shown(name: object, limit: int = 120) -> str:
    """Return ``name`` in one line for a message, cut in the middle to ``limit`` characters."""
    # Escapes are longer than what they replace, so nothing beyond the limit has to be looked at.
    text = str(name)
    if len(text) > 2 * limit:
        text = f"{text[:limit]}…{text[-limit:]}"
    text = visible(text)
    return text if len(text) <= limit else f"{text[: limit - limit // 2 - 1]}…{text[-(limit // 2) :]}"


def described(error: BaseException) -> str:
    """Return the type and the text of an unexpected error in one line."""
    try:
        text = " ".join(str(error).split())
    except Exception:
        text = "(an error without a readable text)"
    return shown(f"{type(error).__name__}: {text}" if text else type(error).__name__, LONGEST)


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
    # Compare without tags too: 'arcfase' is far from 'arcface.mobilefacenet', but close to 'arcface'.
    heads = {name.split(".")[0]: name for name in reversed(names)}
    close = [] if "." in given else difflib.get_close_matches(given, heads, n=1, cutoff=0.75)
    close = [heads[head] for head in close] or difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if not close:
        close = [heads[head] for head in difflib.get_close_matches(given.split(".")[0], heads, n=1, cutoff=0.6)]
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown_name(kind: str, given: str, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Return the error for ``given``, which is not among the ``known`` names of this ``kind``."""
    names = sorted(known)
    given = shown(given)
    allowed = ", ".join(names[:_LISTED]) if names else "none"
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    tail = f" {hint}" if hint else ""
    return UnknownNameError(f"Unknown {kind} '{given}'.{suggest(given, names)} Available: {allowed}{more}.{tail}")


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
        expected = isinstance(error, FaceinvError)
        # A plugin's author wants to know where it failed.
        whole = not expected or (isinstance(error, PluginError) and error.__cause__ is not None)
        return cls(
            str(error) if expected else described(error),
            error.exit_code if isinstance(error, FaceinvError) else 1,
            "".join(tracebacks.format_exception(error)) if whole else "",
        )
