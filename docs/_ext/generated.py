"""Reference pages generated from the code and from kept results: command line, config, checks, leaderboard."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from kept_transfer import transfer_matrix
from record_keys import record_keys
from sphinx.application import Sphinx

from faceinv import errors
from faceinv.bench.config import BenchConfig, defaults
from faceinv.cli import COMMANDS, cli
from faceinv.report.kept_boards import read_boards
from faceinv.report.leaderboard import SCORES, Board
from faceinv.report.leaderboard_table import leaderboard_table
from faceinv.report.methods_page import chart
from faceinv.report.table import as_markdown
from faceinv.testing import checks_of
from faceinv.testing.checks import CHECK_MODULES

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
#: Scores drawn as curves; the others are only in the table.
_DRAWN = ("id_sim_critic", "success_type2@0.001:critic", "psnr")
_LFW = "--dataset lfw:PATH --per-person 1 --min-photographs 2"
#: Kept leaderboards: title, reference method of the differences, and command.
SUITES = {
    "methods": ("All methods", "latent-adam", "faceinv bench benchmarks/suites/methods.yaml"),
    "methods-lfw": (
        "All methods",
        "latent-adam",
        "faceinv bench benchmarks/suites/methods-lfw.yaml --dataset lfw:PATH",
    ),
    "losses": (
        "With landmarks and colours read from the descriptor",
        "latent-adam",
        "faceinv bench benchmarks/suites/methods.yaml --method latent-adam,faceinv --steps 500 --losses id,lm,hist "
        "--out runs/all",
    ),
    "losses-lfw": (
        "With landmarks and colours read from the descriptor",
        "latent-adam",
        "faceinv bench benchmarks/suites/methods-lfw.yaml --dataset lfw:PATH --method latent-adam,faceinv --steps 500 "
        "--losses id,lm,hist --out runs/all-lfw",
    ),
    "ablation": (
        "What each ingredient of `faceinv` contributes",
        "faceinv",
        "faceinv bench benchmarks/suites/ablation.yaml --limit 24",
    ),
    "ablation-lfw": (
        "What each ingredient of `faceinv` contributes",
        "faceinv",
        f"faceinv bench benchmarks/suites/ablation.yaml --limit 24 {_LFW} --out runs/ablation-lfw",
    ),
}


def command_line() -> str:
    """Return a page with the help of every command, as the command line prints it."""
    context = click.Context(cli, info_name="faceinv")
    parts = ["# Command line", "The output of `--help` for every command.", *_command("faceinv", cli, context)]
    return "\n\n".join(parts) + "\n"


def _command(path: str, command: click.Command, context: click.Context) -> list[str]:
    parts = [f"{'#' * (path.count(' ') + 2)} `{path}`", f"```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        # Plugins document their own commands.
        names = COMMANDS if command is cli else command.list_commands(context)
        for name in sorted(names):
            sub = command.get_command(context, name)
            if sub is not None:
                parts += _command(f"{path} {name}", sub, click.Context(sub, info_name=name, parent=context))
    return parts


def _plain(kind: Any) -> str:
    """Return a type as one would write it, without the bounds that pydantic checks."""
    if isinstance(kind, type) and not get_args(kind):
        return kind.__name__
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _plain(inner[0])
    if origin is Literal:
        return " or ".join(map(repr, inner))
    if origin in (Union, UnionType):
        return " or ".join(map(_plain, inner))
    return f"{origin.__name__}[{', '.join(map(_plain, inner))}]" if origin else str(kind).removeprefix("typing.")


def configuration() -> str:
    """Return a page with every key of a config, its type and default."""
    text = importlib.resources.files("faceinv.bench").joinpath("defaults.yaml").read_text(encoding="utf-8")
    rows = ["| key | type | default |", "| --- | --- | --- |"]
    standard = defaults()
    for name, field in BenchConfig.model_fields.items():
        kind = _plain(field.annotation)
        rows.append(f"| `{name}` | `{kind}` | `{str(standard[name]).replace('|', chr(92) + '|')}` |")
    return "\n".join(
        [
            "# Config",
            "",
            "The command line overrides the file, and the file overrides these defaults; a list makes a grid. The",
            "whole file is validated before anything runs: an unknown key, a wrong type or an unknown name gives exit",
            "code 2 and names the line. `faceinv config > bench.yaml` writes a file to start from.",
            "",
            *rows,
            "",
            "## The defaults, with the meaning of each key",
            "",
            f"```yaml\n{text}```",
            "",
        ]
    )


def exit_codes() -> str:
    """Return a page with the exit codes and the exceptions that lead to them."""
    table = (errors.__doc__ or "").split("\n\n", 1)[1].strip().splitlines()
    rows = [line.split(None, 1) for line in table if line and not line.startswith("=") and not line.startswith("code")]
    lines = ["# Exit codes", "", "An error is one line on standard error; results computed before it are kept.", ""]
    lines += ["With `FACEINV_TRACEBACK=1` the traceback of an unexpected error is printed as well.", ""]
    lines += ["| code | meaning |", "| --- | --- |", *(f"| {code} | {meaning} |" for code, meaning in rows)]
    lines += [
        "",
        "In Python, the same errors are exceptions from `faceinv.errors`:",
        "",
        "| exception | exit code | when |",
    ]
    lines += ["| --- | --- | --- |"]
    for item in vars(errors).values():
        if isinstance(item, type) and issubclass(item, errors.FaceinvError):
            lines.append(f"| `{item.__name__}` | {item.exit_code} | {(item.__doc__ or '').splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def conformance() -> str:
    """Return a page with the meaning of every conformance check and how to fix a failure."""
    lines = [
        "# Conformance checks",
        "",
        "`faceinv plugins check NAME` and `faceinv.testing.parametrize_with_checks` run these checks. For each one,",
        "the tests have a toy that is broken in exactly that way, and verify that the check fails it.",
        "",
    ]
    for kind in CHECK_MODULES:
        lines += [f"## {kind.capitalize()}", ""]
        for check in checks_of(kind):
            lines += [f"`{check.name}`", f": {check.meaning}", f"  *To fix it:* {check.fix}", ""]
    return "\n".join(lines)


def leaderboard() -> str:
    """Return a page with the kept leaderboards of the suites: curves and all numbers."""
    lines = [
        "# Leaderboard",
        "",
        "Inversion methods at equal budgets, on the same targets, judged by a critic that none of them saw;",
        "[](../../explanation/comparing-methods.md) explains how and why. White-box budgets are image-steps,",
        "scores-only budgets are queries, so the two are separate leagues. Mean [95 % interval]; Δ is the paired",
        "difference to the named method at the same budget.",
        "",
        "Two kinds of results are on this page. The [submissions](../../how-to/submit-results.md) at the end are files",
        "that `faceinv verify` checks, and `make submissions` makes them again. The suites before them are aggregates,",
        "the output of `faceinv compare RUN --json`: hours of computing with the code of the commit that added them.",
        "Their pictures are not kept, so they can be run again but not verified. Those on photographs will remain",
        "aggregates, because a submission names its targets.",
        "",
    ]
    for name, (title, reference, command) in SUITES.items():
        for board in read_boards(RESULTS / f"{name}.json"):
            lines += [
                f"## {title}: {board.n} {board.kind}",
                "",
                f"    {command}",
                f"    faceinv compare RUN --reference {reference}",
            ]
            lines += ["", *_board(board)]
    for path in sorted((RESULTS / "submissions").glob("*.json")):
        for board in read_boards(path):
            title = f"## Submitted as `{path.stem}`: {board.encoder}, {board.n} {board.kind}"
            command = f"    faceinv verify benchmarks/results/submissions/{path.name} RUN"
            lines += [title, "", command, "", "The seconds are those of the submitter's machine.", "", *_board(board)]
    return "\n".join(lines)


def _board(board: Board) -> list[str]:
    places = board.places
    lines: list[str] = []
    for score in board.columns:
        # A single budget gives no curve.
        if score in _DRAWN and len({place.steps for place in places if place.steps}) > 1:
            heading = f"<p><strong>{SCORES[score][0]}</strong></p>"
            lines += ["```{raw} html", heading, str(chart(score, board)), "```", ""]
    return [*lines, as_markdown([leaderboard_table(board)])]


PAGES = {
    "leaderboard.md": leaderboard,
    "command-line.md": command_line,
    "configuration.md": configuration,
    "exit-codes.md": exit_codes,
    "conformance.md": conformance,
    # Included by a page, and no page of its own.
    "record-keys.txt": record_keys,
    "transfer.txt": transfer_matrix,
}


def write_pages(app: Sphinx) -> None:
    """Write the pages to where Sphinx reads them."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        page, text = folder / name, make()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
