"""The state that commands share: plugins, weights files and the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from faceinv.bench.setup import Setup
from faceinv.errors import LONGEST, shown, visible
from faceinv.plugins.host import Host

if TYPE_CHECKING:
    import click
    from rich.console import Console
    from rich.text import Text

    from faceinv.bench.phases import Phase
    from faceinv.cli.progress import Display
    from faceinv.weights.sources.base import Progress
    from faceinv.weights.store import WeightStore


class Application:
    """One invocation of the command line. Everything in it is created on first use."""

    def __init__(self) -> None:
        self.setup = Setup()
        #: Whether the command is a plugin's, which may choose its own exit code.
        self.foreign_command = False
        self._commands_added = False
        self._display: Display | None = None

    def take(self, **given: Any) -> None:
        """Add to the setup what is given before or after the command.

        Args:
            given: Fields of :class:`faceinv.bench.setup.Setup`; several paths, names or hashes add up.
        """
        before = {name: getattr(self.setup, name) for name in given}
        more = {name: before[name] + value if isinstance(value, tuple) else value for name, value in given.items()}
        self.setup = replace(self.setup, **more)
        if given.keys() & {"plugins", "blocked", "offline"}:
            self.__dict__.pop("host", None)

    @cached_property
    def host(self) -> Host:
        """The plugins. Broken ones are reported once, on standard error."""
        host = self.setup.host()
        for problem in host.problems:
            self.warn(str(problem))
        return host

    @cached_property
    def store(self) -> WeightStore:
        """The weights files."""
        terminal = self.console.is_terminal
        return self.setup.store(
            self.host,
            notify=self.say,
            confirm=self.ask if terminal and sys.stdin.isatty() else None,
            progress=self._fetching,
        )

    def _fetching(self, name: str) -> AbstractContextManager[Progress]:
        """Return the context of a download: part of the command's display, or a bar of its own on a terminal."""
        if self._display:
            return self._display.fetching(name)
        if not self.console.is_terminal:
            return nullcontext(lambda done, total: None)
        from faceinv.cli.downloads import download_bar

        return download_bar(self.console)(name)

    @contextmanager
    def progress(self, phases: Sequence[Phase] = ()) -> Iterator[Display]:
        """Yield the display of the command's progress, which is called with (what, done, of).

        Args:
            phases: What the command will do, in order; by default one thing.
        """
        from faceinv.cli.progress import Display

        self._display = Display(self.console, phases)
        try:
            with self._display.shown():
                yield self._display
        finally:
            self._display = None

    @cached_property
    def console(self) -> Console:
        """Standard error, for progress and remarks."""
        from faceinv.cli.console import PlainConsole

        return PlainConsole(stderr=True)

    @cached_property
    def output(self) -> Console:
        """Standard output, for results. Piped output is not cut at 80 columns."""
        from faceinv.cli.console import PlainConsole

        return PlainConsole()

    def add_plugin_commands(self, group: click.Group) -> None:
        """Let the plugins add their commands, once."""
        if not self._commands_added:
            self._commands_added = True
            known = len(self.host.problems)
            self.host.add_commands(group)
            for problem in self.host.problems[known:]:
                self.warn(str(problem))

    def say(self, text: str) -> None:
        """Print a remark on standard error, in one line."""
        self.console.print(shown(text, LONGEST), soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Ask a yes/no question on the terminal; Return means no."""
        import click

        with self._display.hidden() if self._display else nullcontext():
            return click.confirm(question, default=False, err=True)

    def warn(self, text: str) -> None:
        """Print a warning on standard error, in one line."""
        self.console.print(shown(f"Warning: {text}", LONGEST), style="yellow", soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print an error on standard error, in one line."""
        self.console.print(shown(f"Error: {text}", LONGEST), style="bold red", soft_wrap=True)

    def print_line(self, text: str | Text) -> None:
        """Print a line of results, however long it is, on standard output."""
        self.output.print(visible(text) if isinstance(text, str) else text, soft_wrap=True)

    def print_table(self, headings: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
        """Print rows on standard output, in columns if there is room for them.

        Args:
            headings: One per column.
            rows: Their texts.
            right: Headings of the columns of numbers.
        """
        from faceinv.cli.console import Columns

        self.output.print(Columns(headings, rows, right))

    def print_json(self, value: Any) -> None:
        """Print ``value`` as JSON on standard output; NaN becomes null."""
        from faceinv.cli.console import json_text

        sys.stdout.write(json_text(value, sys.stdout.encoding or "utf-8"))
