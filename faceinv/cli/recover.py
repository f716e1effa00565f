"""``faceinv recover``: the descriptors behind files of protected templates, by the best attack known."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import click

from faceinv.cli.application import Application
from faceinv.cli.completion import names_of
from faceinv.errors import InputError, UsageError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="TEMPLATES…")
@click.option(
    "--examples",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE.npy",
    help="Descriptors of other faces by the same encoder, on which the attack is based.",
)
@click.option("--key", "keys", multiple=True, type=click.IntRange(0, 2**63 - 1), help="The key of each file, in order.")
@click.option(
    "--with",
    "given",
    metavar="NAME[:OPTION=VALUE]",
    shell_complete=names_of("protection"),
    help="The protection that you expect; the files name theirs.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File.npy to write.")
@click.pass_obj
def recover(
    app: Application, files: tuple[Path, ...], examples: Path, keys: tuple[int, ...], given: str | None, out: Path
) -> None:
    """Recover descriptors (N, D) from templates that 'faceinv protect' wrote, as an attacker with the key would.

    Several files hold templates of the same people, each under another key. 'faceinv invert' makes pictures of what is
    recovered.

    \b
    Examples:
      faceinv recover templates.safetensors --key 7 --examples others.npy --out recovered.npy
      faceinv recover first.safetensors second.safetensors --key 7 --key 8 --examples others.npy --out recovered.npy
    """
    from torch.nn.functional import normalize

    from faceinv.attack.protected import NOT_ADAPTIVE, ProtectedSystem
    from faceinv.cli.files import check_outputs, save_array
    from faceinv.cli.protect import read_descriptors
    from faceinv.cli.template_files import TemplateFile
    from faceinv.contracts.protection_specs import KEY_KNOWN, ProtectionContext
    from faceinv.contracts.protections import Leak, Protection
    from faceinv.plugins.protections import parse_protection, written

    check_outputs([out], [*files, examples])
    leaked = [TemplateFile.read(path) for path in files]
    first = leaked[0]
    if keys and len(keys) != len(leaked):
        raise UsageError(f"{len(leaked)} files need {len(leaked)} keys, in the same order; got {len(keys)}.")
    found = parse_protection(given or first.protection, first.dim, app.host)
    if found is None:
        raise UsageError("--with none protects nothing; leave it out, and the files name their protection.")
    spec, options = found
    others = normalize(read_descriptors(examples))
    for place, file in enumerate(leaked):
        file.require(written(spec.name, options), keys[place] if keys else None, others)
        if len(file.templates) != len(first.templates):
            raise InputError(f"{file.path}: {len(file.templates)} templates; {first.path} has {len(first.templates)}.")

    def refuse(name: str) -> NoReturn:
        raise UsageError(
            f"The protection '{spec.name}' learns the attribute '{name}' from labels; use 'faceinv bench'."
        )

    context = ProtectionContext(first.dim, 0, lambda: others, refuse)
    built: Protection = app.host.build(spec, context, **options)
    system = ProtectedSystem(spec, built, seed=0, threat=KEY_KNOWN, prior=lambda: others)
    leaks = [Leak(file.templates, keys[place] if keys else 0) for place, file in enumerate(leaked)]
    recovered = system.attack(leaks)
    save_array(normalize(recovered.descriptors.float()).numpy(), out)
    score = built.compare(leaks[0].templates, built.present(normalize(recovered.descriptors.float()), leaks[0].key))
    mark = "" if system.adaptive else f" ({NOT_ADAPTIVE})"
    app.say(
        f"{out}: {len(first.templates)} descriptors by {recovered.attack}{mark}; mean score with their templates "
        f"{float(score.diagonal().mean()):.3f}"
    )
