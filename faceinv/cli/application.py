"""What every command shares: the host, the weights, the console, and how errors look."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from faceinv.plugins.host import Host

if TYPE_CHECKING:
    import click
    from rich.console import Console

    from faceinv.weights.store import WeightStore


class Application:
    """One invocation of the command line. Everything in it is made on first use.

    Args:
        told: Takes remarks in place of the terminal: for a worker that has none of its own.
    """

    def __init__(self, told: Callable[[str], None] | None = None) -> None:
        self._told = told
        self._paths: tuple[str, ...] = ()
        self._blocked: tuple[str, ...] = ()
        self._trusted: tuple[str, ...] = ()
        self._commands_added = False
        self.offline = False

    def configure(
        self, *, paths: tuple[str, ...], blocked: tuple[str, ...], offline: bool, trusted: tuple[str, ...]
    ) -> None:
        """Take the options that stand before the command."""
        if (paths, blocked) != (self._paths, self._blocked):
            self.__dict__.pop("host", None)
        self._paths, self._blocked, self._trusted, self.offline = paths, blocked, trusted, offline

    @property
    def options(self) -> dict[str, Any]:
        """What :meth:`configure` took, for an application in another process; paths are absolute."""
        paths = tuple(os.path.abspath(path) for path in self._paths)
        return {"paths": paths, "blocked": self._blocked, "offline": self.offline, "trusted": self._trusted}

    @cached_property
    def host(self) -> Host:
        """The plugins. What is broken is said once, on standard error."""
        host = Host(blocked=self._blocked, paths=self._paths)
        for problem in host.problems if self._told is None else ():
            self.warn(str(problem))
        return host

    @cached_property
    def store(self) -> WeightStore:
        """The weights files."""
        from faceinv.cli.downloads import download_bar
        from faceinv.weights.store import WeightStore

        terminal = self.console.is_terminal
        return WeightStore(
            self.host,
            offline=self.offline,
            trusted=self._trusted,
            notify=self.say,
            confirm=self.ask if terminal and sys.stdin.isatty() else None,
            progress=download_bar(self.console) if terminal else None,
        )

    @cached_property
    def console(self) -> Console:
        """Standard error, where progress and remarks go."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, force_terminal=False if self._told else None)

    @cached_property
    def output(self) -> Console:
        """Standard output, where results go. Piped output is not cut at 80 columns."""
        from rich.console import Console

        console = Console(highlight=False)
        return console if console.is_terminal else Console(highlight=False, width=max(console.width, 160))

    def add_plugin_commands(self, group: click.Group) -> None:
        """Let the plugins add their commands, once."""
        if not self._commands_added:
            self._commands_added = True
            self.host.add_commands(group)

    def say(self, text: str) -> None:
        """Print a remark on standard error."""
        if self._told is not None:
            self._told(text)
            return
        self.console.print(text, markup=False, soft_wrap=True)

    def ask(self, question: str) -> bool:
        """Ask a question on the terminal; no is what Return means."""
        import click

        return click.confirm(question, default=False, err=True)

    def warn(self, text: str) -> None:
        """Print a warning on standard error."""
        self.console.print(f"Warning: {text}", style="yellow", markup=False, soft_wrap=True)

    def fail(self, text: str) -> None:
        """Print an error as one line on standard error."""
        self.console.print(f"Error: {text}", style="bold red", markup=False, soft_wrap=True)

    def print_json(self, value: Any) -> None:
        """Print ``value`` as JSON on standard output; not-a-number becomes null."""
        from faceinv.storage.run_folder import finite

        json.dump(finite(value), sys.stdout, indent=2, ensure_ascii=False, allow_nan=False)
        sys.stdout.write("\n")
