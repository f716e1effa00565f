"""``faceinv weights``: list, fetch, verify and convert weights files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from faceinv.cli.application import Application
from faceinv.contracts.specs import Spec
from faceinv.errors import FaceinvError, HashMismatchError, WeightsError, unknown_name
from faceinv.plugins.external import is_external
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
    """List the weights files with size and licence, and whether each is on this machine."""
    from faceinv.weights.store import human_size

    users = _users(app.host)
    rows = [_row(app, name, users.get(name, [])) for name in sorted(spec.name for spec in app.host.specs("weights"))]
    if as_json:
        app.print_json(rows)
        return
    app.print_table(
        ("name", "size", "here", "licence", "used by"),
        [
            (
                row["name"],
                human_size(row["size"]) if row["size"] else "",
                "yes" if row["here"] else "no",
                row["licence"],
                ", ".join(row["used_by"]),
            )
            for row in rows
        ],
    )


@weights.command()
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.pass_obj
def pull(app: Application, names: tuple[str, ...]) -> None:
    """Fetch files ahead of time: NAME is a file, or a network (then all of its files).

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
            app.say(f"{name} is already at {path}. Licence: {file.licence}.")
    _raise_all(app, errors)


@weights.command()
@_NAMES
@click.pass_obj
def verify(app: Application, names: tuple[str, ...]) -> None:
    """Hash files again and compare: the named ones, or all that are on this machine."""
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
            app.print_line(f"{name} {sha256} {verdict}")
        elif chosen:
            errors.append(
                WeightsError(f"Weights '{name}' are not on this machine; to fetch them: faceinv weights pull {name}")
            )
    if not found and not errors:
        app.say("There are no weights files on this machine yet; 'faceinv weights list' shows what can be fetched.")
    _raise_all(app, errors)


@weights.command()
@click.argument("name")
@click.pass_obj
def path(app: Application, name: str) -> None:
    """Print the path of a file, fetching it if necessary."""
    click.echo(app.store.path(name))


@weights.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Safetensors file to write."
)
@click.pass_obj
def convert(app: Application, file: Path, out: Path) -> None:
    """Write the tensors of a published FILE as safetensors; nothing in FILE is executed.

    Reads the same files as the networks: NVIDIA's .pkl, PyTorch files, pickles of arrays. Pass the result to a
    network with --weights. It records the SHA-256 of FILE in its metadata, and is under the licence of FILE.
    """
    from faceinv.weights.conversion import convert as convert_file

    network = convert_file(app.host, file, out)
    app.say(f"Wrote {out}: {f'the tensors of {network}' if network else 'the tensors of an unknown network'}.")


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
    """Return the files that ``names`` stand for, each once, in order; a network stands for its files."""
    networks = _networks(host)
    found: list[str] = []
    for name in names:
        if host.registries["weights"].knows(name):
            found.append(host.spec("weights", name).name)
            continue
        if is_external(name):
            found += host.spec("encoder", name).weights
            continue
        meant = [spec for spec in networks if spec.name == name or (spec.default and spec.architecture == name)]
        if not meant:
            known = {spec.name for spec in host.specs("weights")} | {spec.name for spec in networks}
            raise unknown_name("weights", name, known)
        found += [file for spec in meant for file in spec.weights]
    return list(dict.fromkeys(found))


def _raise_all(app: Application, errors: Sequence[FaceinvError]) -> None:
    """Print the error of each file, and exit with the code of the last one."""
    for error in errors[:-1]:
        app.fail(str(error))
    if errors:
        raise errors[-1]
