"""Reference pages that are made from the code and from kept results: command line, config, checks, leaderboard."""

from __future__ import annotations

import importlib.resources
import re
from pathlib import Path

import click
from sphinx.application import Sphinx

from faceinv import errors
from faceinv.bench.config import BenchConfig, defaults
from faceinv.cli import COMMANDS, cli
from faceinv.report.kept_boards import read_boards
from faceinv.report.leaderboard import SCORES, Board, named
from faceinv.report.leaderboard_table import with_interval
from faceinv.report.methods_page import chart
from faceinv.testing import checks_of
from faceinv.testing.checks import CHECK_MODULES

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
#: Scores with curves on the page; the others are in its table.
_DRAWN = ("id_sim_critic", "success_type2@0.001:critic", "psnr")
_LFW = "--dataset lfw:PATH --per-person 1 --min-photographs 2"
#: Kept leaderboards: what is compared, the method that differences are to, and the command.
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
        "What each ingredient of `faceinv` brings",
        "faceinv",
        "faceinv bench benchmarks/suites/ablation.yaml --limit 24",
    ),
    "ablation-lfw": (
        "What each ingredient of `faceinv` brings",
        "faceinv",
        f"faceinv bench benchmarks/suites/ablation.yaml --limit 24 {_LFW} --out runs/ablation-lfw",
    ),
}


def command_line() -> str:
    """Return a page with every command, its help and its options, as the command line itself has them."""
    context = click.Context(cli, info_name="faceinv")
    parts = ["# Command line", "What `--help` says, of every command.", *_command("faceinv", cli, context)]
    return "\n\n".join(parts) + "\n"


def _command(path: str, command: click.Command, context: click.Context) -> list[str]:
    parts = [f"{'#' * (path.count(' ') + 2)} `{path}`", f"```text\n{command.get_help(context)}\n```"]
    if isinstance(command, click.Group):
        # What plugins add is theirs to document.
        names = COMMANDS if command is cli else command.list_commands(context)
        for name in sorted(names):
            sub = command.get_command(context, name)
            if sub is not None:
                parts += _command(f"{path} {name}", sub, click.Context(sub, info_name=name, parent=context))
    return parts


def configuration() -> str:
    """Return a page with every key of a config, its type and default."""
    text = importlib.resources.files("faceinv.bench").joinpath("defaults.yaml").read_text(encoding="utf-8")
    rows = ["| key | type | default |", "| --- | --- | --- |"]
    standard = defaults()
    for name, field in BenchConfig.model_fields.items():
        kind = re.sub(r"typing\.|pathlib\.\w*\.?|<class '(\w+)'>", r"\1", str(field.annotation)).replace("|", "or")
        rows.append(f"| `{name}` | `{kind}` | `{str(standard[name]).replace('|', chr(92) + '|')}` |")
    return "\n".join(
        [
            "# Config",
            "",
            "The command line wins over the file, the file over these defaults; a list makes a grid. A file is checked",
            "wholly before anything runs: an unknown key, a wrong type, an unknown name: exit code 2, and the",
            "line. `faceinv config > bench.yaml` writes one to start from.",
            "",
            *rows,
            "",
            "## The defaults, with what each key means",
            "",
            f"```yaml\n{text}```",
            "",
        ]
    )


def exit_codes() -> str:
    """Return a page with the exit codes and the exceptions that lead to them."""
    table = (errors.__doc__ or "").split("\n\n", 1)[1].strip().splitlines()
    rows = [line.split(None, 1) for line in table if line and not line.startswith("=") and not line.startswith("code")]
    lines = ["# Exit codes", "", "Errors are one line on standard error, and leave what was computed in place.", ""]
    lines += ["| code | meaning |", "| --- | --- |", *(f"| {code} | {meaning} |" for code, meaning in rows)]
    lines += [
        "",
        "In Python the same mistakes are exceptions of `faceinv.errors`:",
        "",
        "| exception | exit code | when |",
    ]
    lines += ["| --- | --- | --- |"]
    for item in vars(errors).values():
        if isinstance(item, type) and issubclass(item, errors.FaceinvError):
            lines.append(f"| `{item.__name__}` | {item.exit_code} | {(item.__doc__ or '').splitlines()[0]} |")
    return "\n".join(lines) + "\n"


def conformance() -> str:
    """Return a page with every conformance check, what it means and how to fix it."""
    lines = [
        "# Conformance checks",
        "",
        "What `faceinv plugins check NAME` and `faceinv.testing.parametrize_with_checks` run. For each of them the",
        "project keeps a toy that is broken in that one way, and tests that the check fails it.",
        "",
    ]
    for kind in CHECK_MODULES:
        lines += [f"## {kind.capitalize()}", ""]
        for check in checks_of(kind):
            lines += [f"`{check.name}`", f": {check.meaning}", f"  *To fix it:* {check.fix}", ""]
    return "\n".join(lines)


def leaderboard() -> str:
    """Return a page with the kept leaderboards of the suites: curves and every number."""
    lines = [
        "# Leaderboard",
        "",
        "Inversion methods at equal budgets, on the same targets, judged by a critic that none of them saw; how and",
        "why in [](../../explanation/comparing-methods.md). White-box budgets are image-steps, scores-only budgets are",
        "queries: two leagues. Mean [95 % interval]; Δ is a paired difference at the same budget, to the method named.",
        "Made from `benchmarks/results`, which holds what `faceinv compare RUN --json` printed.",
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
    return "\n".join(lines)


def _board(board: Board) -> list[str]:
    places = board.places
    lines = [f"`{board.encoder}` through `{board.generator}`, critic `{board.critic}`.", ""]
    lines += [f"Mind: {text}\n" for text in board.warnings]
    for score in board.columns:
        # One budget makes no curve.
        if score in _DRAWN and len({place.steps for place in places if place.steps}) > 1:
            heading = f"<p><strong>{SCORES[score][0]}</strong></p>"
            lines += ["```{raw} html", heading, str(chart(score, board)), "```", ""]
    if board.ceiling:
        lines += [
            f"The image that the descriptor leads one to expect has a PSNR of {with_interval(board.ceiling, 2)} dB; "
            "*over* is a method's PSNR above it, paired.",
            "",
        ]
    several = len({place.precision for place in places}) > 1
    heads = ["budget", "spent", "method", "access", "offline", *(["steps in"] if several else [])]
    heads += [*(figure.heading for figure in board.figures), "s a target"]
    lines += [f"| {' | '.join(heads)} |", f"|{' --- |' * len(heads)}"]
    for place in places:
        cells = [
            f"{place.steps:,}" if place.steps else "none",
            f"{place.spent:,.0f}",
            f"`{named(place, places)}`",
            place.access,
            place.offline,
            *([place.precision] if several else []),
        ]
        cells += [with_interval(figure.of(place), figure.digits, figure.signed) for figure in board.figures]
        lines.append(f"| {' | '.join(cells)} | {with_interval(place.seconds, 2)} |")
    return [*lines, ""]


PAGES = {
    "leaderboard": leaderboard,
    "command-line": command_line,
    "configuration": configuration,
    "exit-codes": exit_codes,
    "conformance": conformance,
}


def write_pages(app: Sphinx) -> None:
    """Write the pages where Sphinx reads them."""
    folder = Path(app.srcdir) / "reference" / "generated"
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        page, text = folder / f"{name}.md", make()
        if not page.exists() or page.read_text(encoding="utf-8") != text:
            page.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("builder-inited", write_pages)
    return {"parallel_read_safe": True}
