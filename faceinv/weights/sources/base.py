"""What a source is given: where to report its progress, what to say to the user, and how much to fetch."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the bytes fetched so far and the total (0 while unknown).
Progress = Callable[[int, int], None]

#: Called with one line for the user.
Notify = Callable[[str], None]

#: Limit in bytes on files and archives whose size is not declared.
LARGEST = 8 << 30


def say_nothing(text: str) -> None:
    """Ignore ``text``: the default of :data:`Notify`."""
