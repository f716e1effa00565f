"""``faceinv suite``: the commands of a file one after the other, such as all that a study needs."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from faceinv.cli.application import Application
from faceinv.errors import InputError, UsageError, shown, suggest

if TYPE_CHECKING:
    from faceinv.bench.plan import Planned

#: Commands that a step may be, as may those of plugins; none of them needs a terminal.
_COMMANDS = ("bench", "compare", "export", "probe", "report", "train", "verify")
_VARIABLE = re.compile(r"\{(\w+)\}")
#: Photographs per second that one encoder embeds where nothing is known: a small one on two cores.
_PHOTOGRAPHS_PER_SECOND = 30
_INTERRUPTED = 130
#: Stands for the folder of the file, for a config that is next to it.
_HERE = "here"


@dataclass(frozen=True)
class Step:
    """A command of a suite.

    Args:
        name: Its name.
        arguments: The command and its options, with values in place of variables.
        left_out: Why it is left out, if it is.
        failed: It ran, and there is nothing of it for later steps to read.
    """

    name: str
    arguments: tuple[str, ...]
    left_out: str = ""
    failed: bool = False

    @property
    def out(self) -> str:
        """What it writes, as later steps name it."""
        places = [place for place, part in enumerate(self.arguments[:-1]) if part == "--out"]
        return self.arguments[places[-1] + 1] if places else ""


@click.command()
@click.argument("file", type=click.Path(path_type=Path), metavar="SUITE.yaml")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Set a variable of the file.")
@click.option("--step", "only", multiple=True, metavar="NAME", help="Only run this step; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Print the steps and an estimate of the time that they take.")
@click.pass_obj
def suite(app: Application, file: Path, given: tuple[str, ...], only: tuple[str, ...], dry_run: bool) -> None:
    """Run the commands of a file, in order. Nothing is computed twice: run the same command again to continue.

    The file has 'variables', each with a value or none, and 'steps', each a name and a command without 'faceinv', in
    which {name} stands for a variable and {here} for the file's folder. A step whose variable has no value is left out
    and named. A step that fails does not stop the others, but those that need what it should have written are left out.

    \b
    Examples:
      faceinv suite benchmarks/suites/paper-default.yaml --dry-run
      faceinv suite benchmarks/suites/paper-default.yaml --set lfw=PATH/TO/lfw
    """
    from faceinv.cli import COMMANDS, cli

    added = set(cli.list_commands(click.get_current_context())) - set(COMMANDS)
    steps = read_suite(file, given, (*_COMMANDS, *sorted(added)))
    for name in only:
        if name not in {step.name for step in steps}:
            names = [step.name for step in steps]
            raise UsageError(f"{file} has no step '{shown(name)}'.{suggest(name, names)} It has: {', '.join(names)}.")
    steps = [step for step in steps if not only or step.name in only]
    if dry_run:
        _show(app, steps)
        return
    codes = _run(app, steps)
    failed = [code for code in codes if code]
    if failed:
        click.get_current_context().exit(failed[0])


def read_suite(file: Path, given: Sequence[str], commands: Sequence[str]) -> list[Step]:
    """Return the steps of a file.

    Args:
        file: The suite.
        given: Values of variables, ``NAME=VALUE``.
        commands: What a step may be.

    Raises:
        UsageError: the file is not a suite, or there is no such variable.
    """
    from faceinv.bench.config_file import read_config

    content, _ = read_config(file)
    unknown = sorted(set(content) - {"variables", "steps"})
    if unknown:
        raise UsageError(f"{file}: unknown key '{shown(unknown[0])}'. A suite has 'variables' and 'steps'.")
    written = _mapping(file, content, "steps")
    if not written:
        raise UsageError(f"{file} has no steps.")
    values = {
        name: None if value is None else str(value) for name, value in _mapping(file, content, "variables").items()
    }
    if _HERE in values:
        raise UsageError(f"{file}: '{_HERE}' is the folder of the file, so it cannot be a variable.")
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in values:
            known = ", ".join(values) or "none"
            raise UsageError(f"--set {shown(text)}: expected NAME=VALUE.{suggest(name, values)} Variables: {known}.")
        values[name] = value
    values[_HERE] = str(file.parent)
    steps: list[Step] = []
    for name, command in written.items():
        steps.append(_with_runs(_step(file, str(name), command, values, commands), steps))
    return steps


def _with_runs(step: Step, before: Sequence[Step]) -> Step:
    """Return the step without the runs of earlier ones that are missing.

    It is left out itself if there is no other run, or if a file is missing that it is given as NAME=FILE.
    """
    made = {earlier.out: earlier for earlier in before if earlier.out}
    missing = {out for out, earlier in made.items() if earlier.left_out or earlier.failed}
    runs = [part for part in step.arguments if part in made and part != step.out]
    files = [value for part in step.arguments if (value := part.partition("=")[2]) in missing]
    gone = files or [part for part in runs if part in missing]
    if not gone or step.left_out:
        return step
    if files or gone == runs:
        first = made[gone[0]]
        return replace(step, left_out=f"step {first.name} failed" if first.failed else f"needs {first.name}")
    return replace(step, arguments=tuple(part for part in step.arguments if part not in gone))


def _mapping(file: Path, content: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = content.get(key) or {}
    if not isinstance(value, dict):
        raise UsageError(f"{file}: '{key}' must be a mapping of names.")
    return value


def _step(file: Path, name: str, command: Any, values: Mapping[str, str | None], commands: Sequence[str]) -> Step:
    try:
        parts = shlex.split(command) if isinstance(command, str) else []
    except ValueError as error:
        raise UsageError(f"{file}: the step '{name}' cannot be read: {error}.") from None
    if not parts or parts[0] not in commands:
        what = parts[0] if parts else str(command)
        raise UsageError(f"{file}: the step '{name}' begins with '{shown(what)}'; allowed are {', '.join(commands)}.")
    used = [variable for part in parts for variable in _VARIABLE.findall(part)]
    for variable in used:
        if variable not in values:
            raise UsageError(
                f"{file}: the step '{name}' has an unknown variable '{variable}'.{suggest(variable, values)}"
            )
    missing = [variable for variable in used if values[variable] is None]
    # Values are put in after splitting, so that a path may have blanks.
    arguments = tuple(_VARIABLE.sub(lambda found: values[found[1]] or "", part) for part in parts)
    return Step(name, arguments, f"needs --set {missing[0]}=…" if missing else "")


def _run(app: Application, steps: Sequence[Step]) -> list[int]:
    """Run the steps, print what became of each, and return the exit codes."""
    from faceinv.cli import run_command
    from faceinv.cli.timetable import duration

    rows, codes = [], []
    ran: list[Step] = []
    for number, planned in enumerate(steps, 1):
        step = _with_runs(planned, ran)
        ran.append(step)
        if step.left_out:
            rows.append((step.name, f"left out: {step.left_out}", ""))
            continue
        app.say(f"step {number} of {len(steps)}, {step.name}: faceinv {shlex.join(step.arguments)}")
        began = time.perf_counter()
        codes.append(run_command(app, step.arguments))
        result = "done" if codes[-1] == 0 else f"failed (exit code {codes[-1]})"
        rows.append((step.name, result, duration(time.perf_counter() - began)))
        ran[-1] = replace(step, failed=codes[-1] != 0 and not _has_results(step.out))
        if codes[-1] == _INTERRUPTED:
            break
    app.print_table(("step", "result", "time"), rows)
    return codes


def _has_results(out: str) -> bool:
    """Return whether a run folder has anything that was computed, now or earlier."""
    from faceinv.report.runs import read_runs

    try:
        found = read_runs([Path(out)])
    except InputError:
        return False
    return bool(found.studies or found.probes)


def _show(app: Application, steps: Sequence[Step]) -> None:
    """Print the steps with an estimate of what is left of each."""
    from faceinv.cli.timetable import duration

    rows, total = [], 0.0
    for step in steps:
        if step.left_out:
            rows.append((step.name, step.arguments[0], f"left out: {step.left_out}", ""))
            continue
        seconds, what = _left(app, _without_weights(step.arguments, [other.out for other in steps]))
        total += seconds
        rows.append((step.name, step.arguments[0], what, duration(seconds) if seconds else ""))
    app.print_table(("step", "command", "what", "left"), rows)
    app.say(
        f"About {duration(total)} on one worker, without the training of readers and other networks "
        f"({total / 3600:.1f} h)."
    )


def _without_weights(arguments: Sequence[str], made: Sequence[str]) -> list[str]:
    """Return arguments without the weights files that steps have yet to make; they change no plan."""
    pending = {file for file in made if file and not Path(file).exists()}
    pairs = zip(arguments, [*arguments[1:], ""], strict=True)
    gone = [option == "--weights" and value.partition("=")[2] in pending for option, value in pairs]
    return [part for place, part in enumerate(arguments) if not gone[place] and not (place and gone[place - 1])]


def _left(app: Application, arguments: Sequence[str]) -> tuple[float, str]:
    """Return the seconds that a step takes, and what it computes; tables, figures and pages take moments."""
    command, rest = arguments[0], list(arguments[1:])
    if command == "bench":
        cells = _planned(app, rest)
        done = sum(item.status == "cached" for item in cells)
        basis = "; ".join(dict.fromkeys(item.basis for item in cells if item.status != "cached"))
        return sum(item.seconds for item in cells), f"{len(cells)} cells, {done} computed{basis and f' ({basis})'}"
    if command == "probe":
        from faceinv.cli.probe import photographs

        count, encoders = photographs(app, rest)
        what = f"{count} photographs for each of {encoders} encoders (a guess: {_PHOTOGRAPHS_PER_SECOND} a second)"
        return count * encoders / _PHOTOGRAPHS_PER_SECOND, what
    from faceinv.cli import cli

    # Its options are checked all the same.
    found = cli.get_command(click.get_current_context(), command)
    if found is not None:
        found.make_context(command, rest, obj=app)
    return 0.0, ""


def _planned(app: Application, arguments: list[str]) -> list[Planned]:
    """Return what ``faceinv bench`` with these arguments would compute."""
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.plan import plan
    from faceinv.cli.bench import bench
    from faceinv.cli.execution import taken
    from faceinv.cli.options import overrides

    given = dict(bench.make_context("bench", arguments, obj=app).params)
    taken(given)
    for name in ("dry_run", "as_json", "open_it"):
        given.pop(name)
    config, source = load_config(given.pop("config_file"), overrides(given, app.host))
    return plan(config, cells(config, app.host, source), app.host, app.store)
