"""``faceinv protect``: protected templates of your own descriptors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from faceinv.cli.application import Application
from faceinv.cli.completion import names_of
from faceinv.errors import InputError, UsageError

if TYPE_CHECKING:
    from torch import Tensor


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="DESCRIPTORS.npy")
@click.option(
    "--with",
    "given",
    required=True,
    metavar="NAME[:OPTION=VALUE]",
    shell_complete=names_of("protection"),
    help="The protection, such as polyprotect:overlap=3.",
)
@click.option("--key", type=click.IntRange(0, 2**63 - 1), help="The key, a whole number; needed by schemes with keys.")
@click.option(
    "--examples",
    type=click.Path(path_type=Path),
    metavar="FILE.npy",
    help="Descriptors of other faces that schemes such as quantise learn from; by default DESCRIPTORS.npy.",
)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="File to write.")
@click.pass_obj
def protect(app: Application, file: Path, given: str, key: int | None, examples: Path | None, out: Path) -> None:
    """Write the protected templates (N, M) of descriptors (N, D), scaled to length 1 first, as a safetensors file.

    All rows are stored under one key. The file names the scheme, its options and a fingerprint of the key;
    'faceinv recover' attacks it. Protections that learn an attribute need labels, and are available in
    'faceinv bench' and 'faceinv probe' only.

    \b
    Examples:
      faceinv protect descriptors.npy --with polyprotect:overlap=3 --key 7 --out templates.safetensors
      faceinv protect descriptors.npy --with quantise:bits=2 --examples others.npy --out templates.safetensors
    """
    from torch.nn.functional import normalize

    from faceinv.cli.files import check_outputs
    from faceinv.cli.template_files import TemplateFile, fingerprint_of, key_fingerprint
    from faceinv.contracts.protection_specs import ProtectionContext
    from faceinv.contracts.protections import Protection
    from faceinv.plugins.protections import parse_protection, written

    check_outputs([out], [file, examples])
    descriptors = read_descriptors(file)
    found = parse_protection(given, descriptors.shape[1], app.host)
    if found is None:
        raise UsageError("--with none protects nothing. 'faceinv plugins' lists the protections.")
    spec, options = found
    if key is None and spec.keys != "none":
        raise UsageError(f"The protection '{spec.name}' needs a key: --key NUMBER.")
    if key is not None and spec.keys == "none":
        raise UsageError(f"The protection '{spec.name}' has no key; leave out --key.")
    others = descriptors if examples is None else read_descriptors(examples)
    if others.shape[1] != descriptors.shape[1]:
        raise InputError(
            f"{examples}: descriptors of length {others.shape[1]}; those of {file} have {descriptors.shape[1]}."
        )

    def refuse(name: str) -> NoReturn:
        raise UsageError(
            f"The protection '{spec.name}' learns the attribute '{name}' from labels; use 'faceinv probe'."
        )

    learned_from: list[Tensor] = []

    def learn() -> Tensor:
        learned_from.append(normalize(others))
        return learned_from[0]

    context = ProtectionContext(descriptors.shape[1], 0, learn, refuse)
    protection: Protection = app.host.build(spec, context, **options)
    templates = protection.protect(normalize(descriptors), key or 0)
    text = written(spec.name, options)
    TemplateFile(
        out,
        templates,
        text,
        descriptors.shape[1],
        key_fingerprint(text, key) if key is not None else "",
        fingerprint_of(learned_from[0]) if learned_from else "",
    ).write()
    app.say(f"{out}: {len(templates)} templates of {templates.shape[1]} numbers ({spec.output}, {spec.comparison})")


def read_descriptors(path: Path) -> Tensor:
    """Return descriptors ``(N, D)``.

    Raises:
        InputError: if the file holds none, or some are not finite or zero.
    """
    import torch

    from faceinv.cli.files import read_array

    array = torch.from_numpy(read_array(path, "descriptors"))
    if array.ndim != 2 or not array.numel():
        raise InputError(f"{path}: descriptors are (N, D), got {tuple(array.shape)}.")
    bad = ~array.isfinite().all(1) | (array.abs().sum(1) == 0)
    if bad.any():
        rows = torch.nonzero(bad).flatten().tolist()
        raise InputError(
            f"{path}: {len(rows)} of {len(array)} descriptors are not finite or all zeros (first: row {rows[0]})."
        )
    return array
