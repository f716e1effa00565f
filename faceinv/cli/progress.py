"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from faceinv.contracts.progress import Reporter

#: Seconds between two plain lines about the same work.
_QUIET = 10.0


@contextmanager
def reporter(console: Console) -> Iterator[Reporter]:
    """Yield a function that reports progress on ``console`` while the block runs."""
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
            console=console, transient=True,
        ) as bars:  # fmt: skip
            tasks = {}

            def show(what: str, done: int, of: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=of)
                bars.update(tasks[what], completed=done, total=of)

            yield show
        return
    last: dict[str, float] = {}

    def line(what: str, done: int, of: int) -> None:
        now = time.monotonic()
        if done >= of or now - last.get(what, -_QUIET) >= _QUIET:
            last[what] = now
            console.print(f"{what}: {done}/{of}", soft_wrap=True)

    yield line
