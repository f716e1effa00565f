"""The options of every command: they are accepted before and after its name."""

from __future__ import annotations

from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.errors import UsageError, shown

#: Fields of :class:`faceinv.bench.setup.Setup`, and the options that set them; a file is trusted by its hash.
_OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "plugins": ("--plugin", {"multiple": True, "metavar": "PATH", "help": "Load a plugin from a file or folder."}),
    "blocked": ("--no-plugins", {"multiple": True, "metavar": "NAME", "help": "Do not load this plugin."}),
    "offline": ("--offline", {"is_flag": True, "help": "Never use the network."}),
    "trusted": (
        "--trust-sha256",
        {"multiple": True, "metavar": "HASH", "help": "Accept a weights file without a published hash."},
    ),
    "trusted_files": (
        "--trust",
        {"multiple": True, "metavar": "FILE", "help": "Accept this file, even if reading it runs code in it."},
    ),
}


def with_shared_options(command: click.Command, *, hidden: bool = True) -> click.Command:
    """Add the options to ``command`` and to those below it, and return it.

    Args:
        command: A command or group. Options that it has already stay as they are.
        hidden: Whether its help leaves them out.
    """
    taken = {name for parameter in command.params for name in parameter.opts}
    for field, (name, settings) in _OPTIONS.items():
        if name not in taken:
            environment = "FACEINV_OFFLINE" if field == "offline" else None
            option = click.Option(
                [name, field], expose_value=False, is_eager=True, hidden=hidden, envvar=environment,
                callback=_take, **settings,
            )  # fmt: skip
            command.params.append(option)
    if isinstance(command, click.Group):
        for below in command.commands.values():
            with_shared_options(below)
    return command


def _take(ctx: click.Context, option: click.Parameter, value: Any) -> None:
    if value and not ctx.resilient_parsing:
        name = str(option.name)
        if name == "trusted_files":
            name, value = "trusted", tuple(_hashed(file) for file in value)
        ctx.ensure_object(Application).take(**{name: value})


def _hashed(file: str) -> str:
    from faceinv.storage.hashing import file_sha256

    try:
        return file_sha256(file)
    except OSError as error:
        raise UsageError(f"--trust {shown(file)} cannot be read: {error.strerror or error}.") from None
