"""``faceinv plugins new``: write a complete distribution to start from."""

from __future__ import annotations

import datetime
import importlib.resources
import importlib.util
import re
from pathlib import Path

import click

from faceinv.cli.application import Application
from faceinv.errors import StorageError, UsageError

#: For each kind: the module with the object, a command that uses it, and advice to authors.
KINDS = {
    "encoder": (
        "network",
        "faceinv bench --encoder {name} --limit 2 --steps 20 --pairs 1000",
        "The five points determine what the network sees: measure them on a few dozen of the crops that it was\n"
        "trained on, and look at one of your own crops (`faceinv embed` makes them) before you trust a number.",
    ),
    "generator": (
        "generator",
        "faceinv bench --generator {name} --limit 2 --steps 20 --pairs 1000",
        "If the five points of the images are unknown, take their mean over samples in which a detector finds a face.",
    ),
    "probe": (
        "probe",
        "faceinv bench --losses id,{name} --limit 2 --steps 20 --pairs 1000",
        "The attribute can be measured differentiably on an image, so the probe is also a loss. An attribute that\n"
        "cannot (`measurable=False`) only needs `label` and `error`.",
    ),
    "loss": (
        "loss",
        "faceinv bench --losses {name} --limit 2 --steps 20 --pairs 1000",
        "Scale it so that an uninformed guess has a loss of 1, which makes weights comparable between losses.",
    ),
    "method": (
        "method",
        "faceinv bench --method {name} --limit 2 --steps 20 --pairs 1000",
        "Declare `access=\"white-box\"` if it takes gradients through the encoder.",
    ),
    "metric": (
        "metric",
        "faceinv bench --metric {name} --limit 2 --steps 20 --pairs 1000",
        "A metric of identity uses `comparison.similarity(\"critic\")` and declares `encoder=\"critic\"`.",
    ),
    "dataset": (
        "dataset",
        "faceinv bench --dataset {name}:PATH --limit 2 --steps 20 --pairs 1000",
        "Photographs of people require their consent, or the licence of a research data set.",
    ),
    "protection": (
        "protection",
        "faceinv bench --protect none,{name} --limit 2 --steps 20 --pairs 1000",
        "A protection is worth as much as the attack on it is good: read how others attack such schemes before you\n"
        "trust a number, and put the best attack into `recover`.",
    ),
    "reporter": (
        "reporter",
        "faceinv bench --reporter {name} --limit 2 --steps 20 --pairs 1000",
        "It is called in a thread of its own and may take its time. Numbers that do not exist are None.",
    ),
}  # fmt: skip

LICENCES = {
    "MIT": "MIT",
    "BSD-3-Clause": "BSD-3-Clause",
    "Apache-2.0": "Apache-2.0",
    "proprietary": "LicenseRef-Proprietary",
}


@click.command()
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.argument("name")
@click.option(
    "--licence", type=click.Choice(list(LICENCES)), default="MIT", show_default=True, help="Licence of your code."
)
@click.option("--author", default="", help="Copyright holder. Default: 'The NAME authors'.")
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Parent folder. Default: here.",
)
@click.pass_obj
def new(app: Application, kind: str, name: str, licence: str, author: str, into: Path) -> None:
    """Write a plugin to start from: a distribution that installs, runs and passes its checks.

    NAME is what users type, such as my-encoder: lower-case letters, digits and hyphens.

    \b
    Examples:
      faceinv plugins new encoder my-encoder
      faceinv plugins new probe head-pose --licence Apache-2.0 --author 'Ada Lovelace'
    """
    folder = into / name
    _check_name(app, kind, name, folder)
    module, command, hint = KINDS[kind]
    package, spdx = name.replace("-", "_"), LICENCES[licence]
    words = {
        "my-template": name,
        "my_template": package,
        "VERSION": _version(),
        "COMMAND": command.format(name=name),
        "MODULE": module,
        "HINT": hint,
        "ARTICLE": "An" if kind == "encoder" else "A",
        "KIND": "data set" if kind == "dataset" else kind,
        "LICENCE": spdx,
        "AUTHOR": author or f"The {name} authors",
        "YEAR": str(datetime.date.today().year),
    }
    source = importlib.resources.files("faceinv.cli") / "templates"
    files = {
        "pyproject.toml": source / "pyproject.toml",
        "README.md": source / "README.md",
        "LICENSE": source / "licences" / spdx,
        f"src/{package}/plugin.py": source / kind / "plugin.py",
        f"src/{package}/{module}.py": source / kind / f"{module}.py",
        "tests/test_conformance.py": source / "tests" / "test_conformance.py",
    }
    written = {path: _filled(file.read_text(encoding="utf-8"), words) for path, file in files.items()}
    written[f"src/{package}/__init__.py"] = f'"""{words["ARTICLE"]} {words["KIND"]} for faceinv."""\n'
    written[f"src/{package}/py.typed"] = ""
    try:
        for path, text in written.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
    for path in sorted(written):
        app.say(f"wrote {folder / path}")
    for line in (
        "The plugin works as it is. Next steps:",
        f"  pip install -e {folder}",
        f"  faceinv plugins check {name}",
    ):
        app.print_line(line)
    app.print_line(f"  {words['COMMAND']}")


def _check_name(app: Application, kind: str, name: str, folder: Path) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        proposal = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
        raise UsageError(
            f"'{name}' is not a valid plugin name: use lower-case letters, digits and hyphens, a letter first."
            + (f" Try '{proposal}'." if re.match("[a-z]", proposal) else "")
        )
    if app.host.knows(kind, name):
        owner = app.host.owner(kind, name)
        raise UsageError(f"The {kind} '{name}' already exists, from {owner}; choose another name.")
    package = name.replace("-", "_")
    if importlib.util.find_spec(package) is not None:
        raise UsageError(f"The Python package '{package}' already exists; choose another name.")
    if folder.exists():
        raise UsageError(f"{folder} already exists; choose another name, or another folder with --into.")


def _version() -> str:
    from importlib.metadata import version

    return version("faceinv")


def _filled(text: str, words: dict[str, str]) -> str:
    """Replace all placeholders in one pass, so that none is replaced inside another's replacement."""
    pattern = re.compile("|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)))
    return pattern.sub(lambda found: words[found.group()], text)
