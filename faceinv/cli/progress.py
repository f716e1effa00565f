"""Progress of a whole command: a bar with the time left on a terminal, a line every ten seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from faceinv.bench.phases import FETCHING, Phase
from faceinv.cli.timetable import Timetable, duration

if TYPE_CHECKING:
    from faceinv.weights.sources.base import Progress as Fetched

#: Seconds between two plain lines.
PAUSE = 10.0
#: The phase of a command that does one thing: every name fits.
_ONE = Phase("", 10.0)


class Display:
    """The progress of a command, on its console.

    Args:
        console: Standard error.
        phases: What the command will do, in order; by default one thing.
        clock: Returns seconds.
    """

    def __init__(
        self, console: Console, phases: Sequence[Phase] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._console, self._clock = console, clock
        self._timetable = Timetable(phases or [_ONE], clock)
        self._said = clock()
        self._bar: Progress | None = None
        if console.is_terminal:
            columns = (TextColumn("{task.description}", markup=False), BarColumn(), TextColumn("{task.fields[left]}"))
            # Results go to standard output untouched, and the bar disappears at the end.
            self._bar = Progress(*columns, console=console, transient=True, redirect_stdout=False)
            self._task = self._bar.add_task("starting", total=1.0, left="")

    def __call__(self, what: str, done: int, of: int) -> None:
        """Show that ``done`` of ``of`` steps of ``what`` are done, and the time that the command has left."""
        self._timetable.report(what, done, of)
        text = f"{what}: {done}/{of}" if of > 1 else what
        left = f"about {duration(self._timetable.left)} left"
        if self._bar:
            self._bar.update(self._task, description=text, completed=self._timetable.share, left=left)
        elif self._clock() - self._said >= PAUSE:
            self._said = self._clock()
            self._console.print(f"{text}; {left}", soft_wrap=True)

    @contextmanager
    def fetching(self, name: str) -> Iterator[Fetched]:
        """Yield the function that a download calls with its bytes."""
        yield lambda done, total: self(f"{FETCHING}{name}", done, total or done + 1)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Keep the display on the console while the block runs."""
        if self._bar:
            self._bar.start()
        try:
            yield
        finally:
            if self._bar:
                self._bar.stop()

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Take the display off the console while the block runs, so that it can print results or ask."""
        if not self._bar:
            yield
            return
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()
