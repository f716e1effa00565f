"""The callback that long work reports its progress to."""

from __future__ import annotations

from typing import Protocol


class Reporter(Protocol):
    """Takes (what, done, of)."""

    def __call__(self, what: str, done: int, of: int) -> None:
        """Report that ``done`` of ``of`` are done."""
        ...
