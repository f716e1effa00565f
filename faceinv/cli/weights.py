"""``faceinv weights``: what there is to fetch, under which licence, and whether it is here and right."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.contracts.specs import Spec
from faceinv.errors import FaceinvError, HashMismatchError, WeightsError, unknown_name
from faceinv.plugins.host import HOOK_KINDS, Host

_NAMES = click.argument("names", nargs=-1, metavar="[NAME]...")


@click.group()
def weights() -> None:
    """List, fetch, verify and convert weights files.

    \b
    Examples:
      faceinv weights list
      faceinv weights pull arcface.mobilefacenet
      faceinv weights verify
      faceinv weights convert ffhq.pkl --out ffhq.safetensors
    """


@weights.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_obj
def list_weights(app: Application, as_json: bool) -> None:
    """List the weights files: their size, their licence, and whether they are here."""
    from faceinv.weights.store import human_size

    users = _users(app.host)
    rows = [_row(app, name, users.get(name, [])) for name in sorted(spec.name for spec in app.host.specs("weights"))]
    if as_json:
        app.print_json(rows)
        return
    from rich.table import Table
    from rich.text import Text

    table = Table("name", "size", "here", "licence", "used by", box=None, header_style="bold", pad_edge=False)
    for row in rows:
        size = human_size(row["size"]) if row["size"] else ""
        here = "yes" if row["here"] else "no"
        # Texts of a plugin are not markup: a licence may hold square brackets.
        table.add_row(*(Text(cell) for cell in (row["name"], size, here, row["licence"], ", ".join(row["used_by"]))))
    app.output.print(table)


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def pull(app: Application, names: tuple[str, ...]) -> None:
    """Fetch files ahead of time: NAME is a file, or a network (then all files that it reads).

    The licence is shown before anything is downloaded.
    """
    errors: list[FaceinvError] = []
    for name in _resolve(app.host, names):
        here = app.store.is_here(name)
        try:
            path = app.store.path(name)
        except WeightsError as error:
            errors.append(error)
            continue
        if here:
            [file] = app.host.weights([name])
            app.say(f"{name} is here: {path}. Licence: {file.licence}.")
    _raise_all(app, errors)


@weights.command()
@_NAMES
@click.pass_obj
def verify(app: Application, names: tuple[str, ...]) -> None:
    """Hash files anew and compare: those named, or all that are here."""
    chosen = _resolve(app.host, names)
    everything = sorted(spec.name for spec in app.host.specs("weights"))
    errors: list[FaceinvError] = []
    found = 0
    for name in chosen or everything:
        [file] = app.host.weights([name])
        try:
            sha256 = app.store.verify(name)
        except HashMismatchError as error:
            errors.append(error)
            continue
        if sha256 is not None:
            found += 1
            verdict = "as pinned" if file.sha256 else "no hash is published"
            app.output.print(f"{name} {sha256} {verdict}", markup=False, soft_wrap=True)
        elif chosen:
            errors.append(WeightsError(f"Weights '{name}' are not here; fetch them with: faceinv weights pull {name}"))
    if not found and not errors:
        app.say("No weights file is here yet; 'faceinv weights list' names them.")
    _raise_all(app, errors)


@weights.command()
@click.argument("name")
@click.pass_obj
def path(app: Application, name: str) -> None:
    """Print where a file is; it is fetched if it is not here."""
    click.echo(app.store.path(name))


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File.safetensors to write."
)
@click.pass_obj
def convert(app: Application, file: Path, out: Path) -> None:
    """Write the tensors of a published FILE as safetensors; nothing in FILE is run.

    Reads what the networks read: NVIDIA's .pkl, PyTorch's files, pickles of arrays. The result is given
    to a network by --weights. The SHA-256 of FILE is kept in its metadata, and its licence goes with it.
    """
    from faceinv.weights.conversion import convert as convert_file

    whose = convert_file(app.host, file, out)
    app.say(f"{out}: {f'the tensors of {whose}' if whose else 'tensors of no network that is known here'}")


def _row(app: Application, name: str, used_by: Sequence[str]) -> dict[str, Any]:
    [file] = app.host.weights([name])
    path = app.store.location(name)
    return dataclasses.asdict(file) | {
        "here": path is not None,
        "path": str(path) if path else None,
        "used_by": list(used_by),
    }


def _networks(host: Host) -> list[Spec]:
    """Return the specs of every kind that read weights files."""
    specs = [spec for kind in HOOK_KINDS.values() if kind != "weights" for spec in host.specs(kind)]
    return [spec for spec in specs if isinstance(spec, Spec) and spec.weights]


def _users(host: Host) -> dict[str, list[str]]:
    users: dict[str, list[str]] = {}
    for spec in _networks(host):
        for name in spec.weights:
            users.setdefault(name, [])
            if spec.name not in users[name]:
                users[name].append(spec.name)
    return users


def _resolve(host: Host, names: Sequence[str]) -> list[str]:
    """Return the files meant by ``names``, each once, in order: a network's name means its files."""
    networks = _networks(host)
    found: list[str] = []
    for name in names:
        if host.registries["weights"].knows(name):
            found.append(host.spec("weights", name).name)
            continue
        meant = [spec for spec in networks if spec.name == name or (spec.default and spec.architecture == name)]
        if not meant:
            known = {spec.name for spec in host.specs("weights")} | {spec.name for spec in networks}
            raise unknown_name("weights", name, known)
        found += [file for spec in meant for file in spec.weights]
    return list(dict.fromkeys(found))


def _raise_all(app: Application, errors: Sequence[FaceinvError]) -> None:
    """Say what went wrong with each file, and end with the last error's exit code."""
    for error in errors[:-1]:
        app.fail(str(error))
    if errors:
        raise errors[-1]
