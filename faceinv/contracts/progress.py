"""The progress callback of long computations."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """A progress callback."""

    def __call__(self, what: str, done: int, of: int) -> None:
        """Report that ``done`` of ``of`` steps of the work called ``what`` are done."""
        ...
