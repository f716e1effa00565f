"""Plugins that break, end or silence their host."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

from damage import TEXTS
from inputs_files import TOY
from watched import Case, command

#: Statements at import or in a hook.
_ACTS = (
    "import sys; sys.exit(3)", "import sys; sys.exit()", "raise SystemExit('gone')", "raise KeyboardInterrupt",
    "raise GeneratorExit", "class B(BaseException): pass\n{indent}raise B('x')", "raise ValueError('[/]')",
    "raise RuntimeError('\\x1b[2J')", "raise MemoryError", "raise RecursionError", "1 / 0", "import no_such_module",
    "print('this is no JSON')", "import os; os.write(1, b'this is no JSON\\n')",
    "import sys; sys.stdout.write('x' * 999)",
    "import sys; sys.stderr.write('')", "import logging; logging.warning('x')", "import warnings; warnings.warn('x')",
    "raise Exception('x' * 1_000_000)", "pass",
)  # fmt: skip

#: What a hook returns.
_RETURNS = (
    "None", "1", "'text'", "[None]", "[[]]", "{}", "[object()]", "[Loud()]", "[Odd()]", "iter(lambda: SPEC, None)",
    "(SPEC for _ in range(10**9))", "[SPEC] * 3", "[SPEC]", "[replace(SPEC, name=1)]", "[replace(SPEC, name=TEXT)]",
    "[replace(SPEC, summary=TEXT)]", "[replace(SPEC, licence=TEXT)]", "[replace(SPEC, target=TEXT)]",
    "[replace(SPEC, dim='x')]", "[replace(SPEC, framing=None)]", "[replace(SPEC, options=TEXT)]",
    "[replace(SPEC, weights=(TEXT,))]", "[replace(SPEC, name='toy.attacked')]",
)  # fmt: skip

#: What an encoder does when it is used.
_NETWORKS = (
    "raise ZeroDivisionError('boom')", "return None", "return 'text'",
    "return images.new_full((len(images), 12), float('nan'))",
    "return images.new_zeros(len(images), 11)", "return images.new_zeros(1, 12)", "return images.long()",
    "import sys; sys.exit(0)", "return images.new_full((len(images), 12), 3e38)", "raise KeyboardInterrupt",
    "return images.new_zeros(len(images), 12)", "print('noise'); return images.flatten(1)[:, :12]",
)  # fmt: skip

_FILE = """
from dataclasses import replace
from faceinv import hookimpl
from faceinv.contracts import EncoderSpec
from faceinv.testing.toy import FRAMING
from torch import nn
TEXT = {text!r}
class Loud:
    def __repr__(self): return 'x' * 1_000_000
class Odd:
    def __getattr__(self, name): raise ZeroDivisionError(name)
    def __repr__(self): raise ZeroDivisionError('repr')
class Evil(nn.Module):
    def __init__(self):
        super().__init__()
        {build}
    def forward(self, images):
        {forward}
SPEC = EncoderSpec(name='evil', summary='s', target='{module}:Evil', licence='MIT', dim=12, framing=FRAMING)
{act}
@hookimpl
def faceinv_encoders():
    {hook}
    return {returns}
"""


def prepare(folder: Path) -> None:
    """Nothing needs to be made beforehand."""


def case(rng: random.Random, index: int, work: Path) -> Case:
    """Return a plugin, and a command that loads it or uses its encoder."""
    used = index % 2
    act = hook = build = "pass"
    forward, returns = "return images.flatten(1)[:, :12]", "[SPEC]"
    if used:
        if rng.random() < 0.3:
            build = rng.choice(_ACTS).format(indent="        ")
        else:
            forward = rng.choice(_NETWORKS)
        name = f"{build}; {forward}"
    else:
        place = rng.randrange(3)
        if place == 0:
            act = rng.choice(_ACTS).format(indent="")
        elif place == 1:
            hook = rng.choice(_ACTS).format(indent="    ")
        else:
            returns = rng.choice(_RETURNS)
        name = f"{act}; {hook}; {returns}"
    text = rng.choice(TEXTS)
    module = f"evil_plugin_{rng.randrange(1 << 30)}"
    content = _FILE.format(text=text, build=build, forward=forward, module=module, act=act, hook=hook, returns=returns)
    (work / f"{module}.py").write_text(content, encoding="utf-8", errors="surrogatepass")
    plugin = ("--plugin", f"{module}.py")
    if used:
        arguments: tuple[object, ...] = (
            "bench", "--encoder", "evil", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset",
            "toy-targets", "--limit", "2", "--steps", "1", "--pairs", "100", "--losses", "id", "--metric", "mse",
            "--json", "--out", "run",
        )  # fmt: skip
        # A descriptor of zeros or of huge numbers is no fault of the plugin's code, but of the cell.
        # One that is interrupted looks like a user who presses Ctrl-C.
        allowed = frozenset({5, 130} if "KeyboardInterrupt" in name else {0, 1, 5})
        return Case(f"encoder: {name}"[:100], command(*plugin, *TOY, *arguments), allowed, memory=1 << 30, check=_json)
    arguments = rng.choice((("plugins", "--json"), ("plugins",), ("weights", "list", "--json"), ("--help",)))
    check = _json if "--json" in arguments else _nothing
    allowed = frozenset({0, 5, 130} if "KeyboardInterrupt" in name else {0, 5})
    return Case(f"{arguments[0]}: {name} {text[:20]!r}"[:100], command(*plugin, *TOY, *arguments), allowed, check=check)


def _nothing(code: int, out: bytes) -> Iterable[str]:
    return ()


def _json(code: int, out: bytes) -> Iterable[str]:
    """Say so if a command ended well and its standard output is not JSON."""
    if code == 0:
        try:
            json.loads(out)
        except ValueError:
            yield f"the standard output is not JSON: {out[:60]!r}"
