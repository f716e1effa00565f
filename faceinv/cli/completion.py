"""Shell completion of names that plugins declare; click completes commands, options and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from faceinv.cli.application import Application

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

#: Set by the shell's function while it asks for completions.
VARIABLE = "_FACEINV_COMPLETE"

Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def is_asked() -> bool:
    """Return whether a shell, not a user, runs the program."""
    return VARIABLE in os.environ


def names_of(kind: str) -> Completer:
    """Return a completer of names of this ``kind``, alone or after a comma."""

    def complete(ctx: click.Context, option: click.Parameter, text: str) -> list[CompletionItem]:
        try:
            specs = ctx.ensure_object(Application).host.specs(kind)
        except Exception:  # whatever a plugin does, a key press must not print an error
            return []
        # An architecture's name stands for its default tag.
        names = {spec.name.partition(".")[0]: spec.summary for spec in specs}
        return completions(
            text, [*names.items(), *((spec.name, spec.summary) for spec in specs if spec.name not in names)]
        )

    return complete


def completions(text: str, names: Sequence[tuple[str, str]]) -> list[CompletionItem]:
    """Return the names, each with a summary, that continue the part of ``text`` after its last comma."""
    from click.shell_completion import CompletionItem

    before, comma, last = text.rpartition(",")
    return [CompletionItem(before + comma + name, help=summary) for name, summary in names if name.startswith(last)]
