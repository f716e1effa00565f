"""The callback type that every source reports its progress to."""

from __future__ import annotations

from collections.abc import Callable

#: Told how many bytes are here, and how many there will be (0 while that is unknown).
Progress = Callable[[int, int], None]
