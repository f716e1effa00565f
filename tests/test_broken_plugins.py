"""Plugins that would end, silence or flood the host: they are reported by name, and everything else works."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from faceinv.errors import LONGEST
from faceinv.plugins import Host

#: Modules stay imported, so each needs a name of its own.
NUMBERS = itertools.count()

HEAD = """
import os, sys
from faceinv import hookimpl
from faceinv.contracts import EncoderSpec, Framing, ProbeSpec
def probe(name="fine", **more):
    return ProbeSpec(**({"name": name, "summary": "s", "target": "json:loads", "licence": "MIT"} | more))
"""
HOOK = "@hookimpl\ndef faceinv_probes():\n    "

#: Modules, and a part of the problem that is reported.
BROKEN = {
    "exits": ("sys.exit(3)", "SystemExit: 3"),
    "exits without a number": ("raise SystemExit", "SystemExit"),
    "exits in a hook": (HOOK + "sys.exit(0)", "SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    "raises another end": ("raise GeneratorExit('stop')", "GeneratorExit: stop"),
    "an error without a text": (
        "class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "Odd: (an error without"
    ),
    "a huge error": ("raise ValueError('x' * 10**6)", "ValueError: xxx"),
    "dir raises": ("def __dir__(): raise ZeroDivisionError('dir')", "ZeroDivisionError: dir"),
    "getattr raises": (
        "def __dir__(): return ['faceinv_odd']\ndef __getattr__(name): raise ZeroDivisionError(name)",
        "ZeroDivisionError",
    ),
    "a repr that raises": (
        "class Odd:\n    def __repr__(self): raise ZeroDivisionError('repr')\n" + HOOK + "return [Odd()]", "repr"
    ),
    "a huge repr": ("class Odd:\n    def __repr__(self): return 'x' * 10**6\n" + HOOK + "return [Odd()]", "xxx"),
    "a name that is no text": (HOOK + "return [probe(name=3)]", "must be str, got int"),
    "a name changed later": (
        HOOK + "one = probe(); object.__setattr__(one, 'name', 3); return [one]", "must be str, got int"
    ),
    "a field of another type": (HOOK + "return [probe(needs='landmarks')]", "needs of probe 'fine' must be tuple[str"),
    "a summary of many lines": (HOOK + "return [probe(summary='x' * 1000)]", "one line of up to 300 characters"),
    "returns no list": (HOOK + "return 3", "TypeError"),
    "an endless hook": (HOOK + "while True: yield probe()", "more than 10,000 specs"),
    "closes standard output": ("sys.stdout.close(); raise ValueError('closed')", "closed"),
    "puts itself in place of others": (
        "class Everything:\n    def __eq__(self, other): return True\n    def __hash__(self): return 0\n"
        "sys.modules[__name__] = Everything()", ""
    ),
}  # fmt: skip


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(source: str) -> Path:
        path = tmp_path / f"broken_{next(NUMBERS)}.py"
        path.write_text(HEAD + source)
        return path

    return make


@pytest.mark.parametrize(("source", "cause"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_is_reported_and_the_next_one_works(
    source: str, cause: str, write: Callable[[str], Path]
) -> None:
    path, sound = write(source), write(HOOK + "return [probe(name='sound')]")
    host = Host(entry_points=False, paths=[path, sound])
    assert host.spec("probe", "sound")
    assert host.owner("probe", "sound") == str(sound)
    for problem in host.problems:
        assert problem.distribution == str(path)
        assert len(str(problem)) < LONGEST + 500
    if cause:
        assert cause in str(host.problems[0])
        assert len(host.problems) <= 11


def test_an_object_that_equals_every_other_is_refused(tmp_path: Path) -> None:
    class Everything:
        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 0

    host = Host(entry_points=False)
    host.register(Everything(), "everything", "odd 1")
    host.register(SimpleNamespace(), "next", "fine 1")
    assert [str(problem) for problem in host.problems] == [
        "plugin 'everything' (odd 1): it compares equal to every object"
    ]
    assert "next" in host.distributions


def test_the_problems_of_one_plugin_are_bounded(write: Callable[[str], Path]) -> None:
    host = Host(entry_points=False, paths=[write(HOOK + "return list(range(500))")])
    assert len(host.problems) == 11
    assert str(host.problems[-1]).endswith("its further problems are not listed")


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[Any], None]]:
    """Set what Ctrl-C does, which tests in the background of a shell find ignored."""
    before = signal.getsignal(signal.SIGINT)
    yield lambda handler: signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_of_the_user_still_interrupts(write: Callable[[str], Path], ctrl_c: Callable[[Any], None]) -> None:
    path = write(f"import signal\nsignal.raise_signal({signal.SIGINT})")
    ctrl_c(signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        Host(entry_points=False, paths=[path])
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_plugins_own_interrupt_is_reported_where_ctrl_c_is_ignored(
    write: Callable[[str], Path], ctrl_c: Callable[[Any], None]
) -> None:
    ctrl_c(signal.SIG_IGN)
    host = Host(entry_points=False, paths=[write("raise KeyboardInterrupt")])
    assert "KeyboardInterrupt" in str(host.problems[-1])


NOISE = """
print("printed")
sys.stdout.flush()
os.write(1, b"written\\n")
os.system("echo of a child")
def loud():
    print("in a hook")
sys.stdout.close()
"""


def test_what_a_plugin_prints_is_not_among_the_results(write: Callable[[str], Path]) -> None:
    path = write(NOISE + HOOK + "loud(); return [probe(name='loud-probe')]")
    done = subprocess.run(
        [sys.executable, "-c", "from faceinv.cli import main; main()", "plugins", "--json", "--plugin", str(path)],
        capture_output=True, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "loud-probe" in [spec["name"] for spec in json.loads(done.stdout)["specs"]]
    for line in ("printed", "written", "of a child", "in a hook"):
        assert line in done.stderr


COMMANDS = {
    "exits": "sys.exit(0)",
    "a name that is no text": "import click; cli.commands[3] = click.Command('x')",
    "removes all": "cli.commands.clear(); raise ValueError('no')",
}


@pytest.mark.parametrize("body", COMMANDS.values(), ids=COMMANDS)
def test_commands_that_break_are_reported(body: str, write: Callable[[str], Path], run) -> None:
    path = write(f"@hookimpl\ndef faceinv_commands(cli):\n    {body}")
    result = run("--plugin", path, "--help")
    assert result.code == 0
    assert "bench" in result.out
    assert "faceinv_commands() failed" in result.err.replace("\n", " ")


#: Objects of each kind that do not keep their contract, and a part of the error.
OBJECTS = {
    "probe": (
        "measurable=True, unit='u'",
        "class make:\n    def __init__(self, framing): pass",
        "no attribute 'remarks'",
    ),
    "metric": ("unit='1', higher_is_better=True", "def make(framing): return 3", "must be callable"),
    "method": ("", "def make(): return 3", "must be callable"),
    "loss": ("", "def make(context): sys.exit(0)", "SystemExit: 0"),
    "dataset": ("", "def make(path, context): return 3", "int"),
    "generator": ("framing=FRAMING", "def make(): return 3", "must be a faceinv.contracts.Generator"),
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_a_broken_object_of_any_kind_is_a_plugin_error_with_its_distribution(
    kind: str, write: Callable[[str], Path], run, cache: Path, tmp_path: Path
) -> None:
    more, source, cause = OBJECTS[kind]
    path = write(
        f"{source}\nfrom faceinv import contracts\nfrom faceinv.testing.toy import FRAMING\n"
        f"@hookimpl\ndef faceinv_{'losses' if kind == 'loss' else kind + 's'}():\n"
        f"    return [contracts.{kind.capitalize()}Spec("
        f"name='bad', summary='s', licence='MIT', target=f'{{__name__}}:make', {more})]\n"
    )
    chosen = {"generator": "toy-faces", "dataset": "toy-targets", "losses": "id", "metric": "mse"}
    chosen[{"probe": "losses", "loss": "losses"}.get(kind, kind)] = "bad"
    result = run(
        "bench", "--plugin", path, "--encoder", "toy.attacked", "--critic", "toy.critic", "--limit", "1",
        "--steps", "1", "--pairs", "200", "--out", tmp_path / "run",
        *(word for key, name in chosen.items() for word in (f"--{key}", name)),
    )  # fmt: skip
    assert result.code == 5, result.err
    assert cause in result.err
    assert str(path) in result.err


ENCODERS = {
    "cannot be built": ("def make(): raise ZeroDivisionError('boom')", "cannot be built: ZeroDivisionError: boom"),
    "takes other arguments": ("def make(one): return one", "cannot be built: TypeError"),
    "is no module": ("def make(): return None", "must be a torch.nn.Module"),
    "ends the program when built": ("def make(): sys.exit(0)", "SystemExit: 0"),
    "raises": ("BODY: raise ZeroDivisionError('boom')", "failed: ZeroDivisionError: boom"),
    "ends the program": ("BODY: sys.exit(0)", "SystemExit: 0"),
    "returns nothing": ("BODY: return None", "returned NoneType"),
    "returns text": ("BODY: return 'text'", "returned str"),
    "returns NaN": ("BODY: return torch.full((len(images), 12), float('nan'))", "NaN or infinity"),
    "fails in a library": ("import torch\ndef make(): return torch.nn.Linear(3, 3)", "failed: RuntimeError"),
}  # fmt: skip
NETWORK = """
import torch
class make(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
    def forward(self, images):
        """
SPEC = """
from faceinv.testing.toy import FRAMING
@hookimpl
def faceinv_encoders():
    return [EncoderSpec(name="bad", summary="s", licence="MIT", dim=12, framing=FRAMING, target=f"{__name__}:make")]
"""


@pytest.mark.parametrize(("source", "cause"), ENCODERS.values(), ids=ENCODERS)
def test_a_broken_encoder_is_a_plugin_error_with_its_distribution(
    source: str, cause: str, write: Callable[[str], Path], run, cache: Path, tmp_path: Path
) -> None:
    path = write(SPEC + source.replace("BODY: ", NETWORK))
    result = run(
        "bench", "--plugin", path, "--encoder", "bad", "--critic", "toy.critic", "--generator", "toy-faces",
        "--losses", "id", "--metric", "mse", "--limit", "1", "--steps", "1", "--pairs", "200",
        "--out", tmp_path / "run",
    )  # fmt: skip
    assert result.code == 5, result.err
    assert cause in result.err
    assert str(path) in result.err
