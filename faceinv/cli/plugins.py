"""``faceinv plugins``: list what is installed, and show one object."""

from __future__ import annotations

import dataclasses
import pkgutil
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.cli.shared import with_shared_options
from faceinv.contracts.specs import Spec, WeightSpec
from faceinv.errors import unknown_name
from faceinv.plugins.host import Host

_COMMANDS = {"check": "faceinv.cli.check:check", "new": "faceinv.cli.new:new"}

#: Kinds in the order in which users meet them; weights have their own command.
KINDS = ("encoder", "generator", "probe", "loss", "method", "metric", "dataset", "detector", "protection", "reporter")


class _Lazily(click.Group):
    """A group that imports the commands that need more than declarations when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*_COMMANDS, *super().list_commands(ctx)})

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import and return one command."""
        if name not in _COMMANDS:
            return super().get_command(ctx, name)
        return with_shared_options(pkgutil.resolve_name(_COMMANDS[name]))


@click.group(cls=_Lazily, invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List encoders, generators, probes, losses, methods, metrics, data sets, protections and reporters.

    \b
    Examples:
      faceinv plugins
      faceinv plugins --json
      faceinv plugins show arcface
      faceinv plugins check arcface
      faceinv plugins new encoder my-encoder
    """
    if ctx.invoked_subcommand is not None:
        return
    app = ctx.find_object(Application)
    assert app is not None
    host = app.host
    if as_json:
        app.print_json(
            {
                "plugins": [
                    {"name": name, "distribution": distribution}
                    for name, distribution in sorted(host.distributions.items())
                ],
                "problems": [dataclasses.asdict(problem) for problem in host.problems],
                "specs": [_row(host, spec) for kind in KINDS for spec in host.specs(kind)],
            }
        )
        return
    app.print_table(
        ("kind", "name", "summary", "from"),
        [
            (kind, _display_name(spec), spec.summary, host.owner(kind, spec.name))
            for kind in KINDS
            for spec in host.specs(kind)
        ],
    )


@plugins.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def show(app: Application, name: str, as_json: bool) -> None:
    """Show all objects called NAME, of any kind."""
    host = app.host
    found = [host.spec(kind, name) for kind in KINDS if host.knows(kind, name)]
    if not found:
        known = {spec.name for kind in KINDS for spec in host.specs(kind)}
        raise unknown_name("name", name, known, host.install_hint(name) or "'faceinv plugins' describes each.")
    details = [_details(app, spec) for spec in found]
    if as_json:
        app.print_json(details)
        return
    for position, detail in enumerate(details):
        if position:
            app.print_line("")
        for key, value in detail.items():
            if key != "weights" and value not in ("", None, {}, []):
                app.print_line(f"{key.replace('_', ' '):16} {_text(value)}")
        for file in detail["weights"]:
            here = "downloaded" if file["here"] else f"missing; fetch it with: faceinv weights pull {file['name']}"
            app.print_line(f"{'weights':16} {file['name']} ({file['licence']}), {here}")
            app.print_line(f"{'':16} sha256 {file['sha256'] or 'not published'}")


def _display_name(spec: Spec) -> str:
    return f"{spec.name} (= {spec.architecture})" if spec.default else spec.name


def _row(host: Host, spec: Spec) -> dict[str, Any]:
    return {
        "kind": spec.kind,
        "name": spec.name,
        "default": spec.default,
        "summary": spec.summary,
        "distribution": host.owner(spec.kind, spec.name),
    }


def _details(app: Application, spec: Spec) -> dict[str, Any]:
    row: dict[str, Any] = _row(app.host, spec) | {
        field.name: getattr(spec, field.name)
        for field in dataclasses.fields(spec)
        if field.name not in ("name", "summary", "default", "weights", "options")
    }
    for key, value in row.items():
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            row[key] = dataclasses.asdict(value)
    row["weights"] = [_file(app, file) for file in app.host.weights(spec.weights)]
    return row


def _file(app: Application, file: WeightSpec) -> dict[str, Any]:
    return dataclasses.asdict(file) | {"here": app.store.is_here(file.name)}


def _text(value: object) -> str:
    if isinstance(value, dict) and "points" in value:
        return f"{value['name']}, {value['size'][0]}x{value['size'][1]}"
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value)
    return str(value)
