"""The callback that a source reports its progress to."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the bytes fetched so far and the total (0 while unknown).
Progress = Callable[[int, int], None]
