"""What is printed: names as they are, on any terminal, into any pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from faceinv.cli import main
from faceinv.cli.application import Application
from faceinv.cli.console import Columns, PlainConsole, json_text
from faceinv.errors import LONGEST, Failure, PluginError, UsageError, shown, visible
from faceinv.storage.schema import utf8

#: Names as they are, and as they are shown.
NAMES = {
    "markup": ("Ada [cropped].jpg", "Ada [cropped].jpg"),
    "closing tag": ("q[/b]", "q[/b]"),
    "emoji code": ("run:x:old", "run:x:old"),
    "escape sequence": ("a\x1b[2Jb", r"a\x1b[2Jb"),
    "eight-bit escape": ("a\x9b2Jb", r"a\x9b2Jb"),
    "carriage return": ("a\rb", r"a\rb"),
    "reversed": ("a\u202egnp.exe", r"a\u202egnp.exe"),
    "bytes that are not UTF-8": (os.fsdecode(b"M\xfcller"), r"M\udcfcller"),
    "a narrow space": ("3.41\u202fPM", "3.41\u202fPM"),
}


@pytest.mark.parametrize(("name", "printed"), NAMES.values(), ids=NAMES)
def test_names_are_printed_as_they_are(name: str, printed: str, capsys: pytest.CaptureFixture[str]) -> None:
    app = Application()
    for say in (app.say, app.warn, app.fail):
        say(f"skipped {name}")
        assert capsys.readouterr().err.endswith(f"skipped {printed}\n")
    app.print_line(f"{name} 0.5")
    app.print_table(("name", "n"), [(name, "1")])
    assert next(line.rstrip() for line in capsys.readouterr().out.splitlines()) == f"{printed} 0.5"
    assert printed in str(PluginError(name))
    text = json_text([name])
    assert json.loads(text) == [utf8(name)]
    assert visible(text.replace("\n", "")) == text.replace("\n", "")


def test_a_name_cannot_forge_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    app = Application()
    app.say("skipped a\nError: forged.png")
    assert capsys.readouterr().err == "skipped a\\nError: forged.png\n"


@pytest.mark.parametrize("make", [PluginError, UsageError, lambda text: Failure.of(ValueError(text)).text])
def test_messages_are_bounded_and_keep_both_ends(make: Callable[[str], object]) -> None:
    text = str(make(f"The name '{'x' * 20_000}' is unknown; to list all: faceinv plugins."))
    assert len(text) == LONGEST
    assert "The name 'xx" in text
    assert text.endswith("to list all: faceinv plugins.")
    assert shown(shown("ab" * 500)) == shown("ab" * 500)


@pytest.mark.parametrize(
    "args", [["--plugin"], ["plugins", "show"], ["bench", "--encoder"], ["bench", "--steps"], ["bench", "--limit"]]
)
def test_a_long_value_is_not_echoed_whole(args: Sequence[str], capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main([*args, "x" * 20_000, *(["plugins"] if args == ["--plugin"] else [])])
    assert stopped.value.code == 2
    assert len(capfd.readouterr().err) < LONGEST + 500


def _rendered(table: Columns, width: int) -> list[str]:
    console = PlainConsole()
    console.width = width
    with console.capture() as capture:
        console.print(table)
    return capture.get().splitlines()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_show_every_letter_in_any_width(width: int) -> None:
    row = ("vggface2.inception-resnet-v1", "Mean colour of the background " * 3, "runs/bench/cells/0.png", "0.125")
    lines = _rendered(Columns(("name", "summary", "picture", "score"), [row], right=["score"]), width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    letters = sorted("".join(lines).replace(" ", ""))
    assert letters == sorted("".join((*row, "name", "summary", "picture", "score")).replace(" ", ""))


def _start(*args: str, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", "from faceinv.cli import main; main()", *args],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_characters_that_the_encoding_lacks_are_replaced(encoding: str, tmp_path: Path) -> None:
    plugin = tmp_path / "greek_plugin.py"
    plugin.write_text(PLUGIN)
    with _start("--plugin", str(plugin), "plugins", PYTHONIOENCODING=encoding, PYTHONUTF8="0") as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, b"")
    assert b"-1: a name? of your choice" in out
    with _start("--plugin", str(plugin), "plugins", "--json", PYTHONIOENCODING=encoding, PYTHONUTF8="0") as process:
        specs = json.loads(process.communicate()[0])["specs"]
    assert "−1: a name\u03b1 of your choice" in [spec["summary"] for spec in specs]


PLUGIN = """
from faceinv import hookimpl
from faceinv.contracts import ProbeSpec
@hookimpl
def faceinv_probes():
    return [ProbeSpec(name="greek", summary="−1: a name\u03b1 of your choice", target="json:loads", licence="MIT")]
"""


@pytest.mark.parametrize("args", [["plugins"], ["plugins", "--json"], ["plugins", "show", "arcface"]])
def test_a_reader_that_leaves_is_no_error(args: Sequence[str]) -> None:
    with _start(*args) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_results_that_cannot_be_written_are_an_error() -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-c", "from faceinv.cli import main; main()", "plugins", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (done.returncode, done.stderr) == (6, b"Error: No space left on device.\n")


@pytest.mark.parametrize("words", ["plugins --json", "plugins show greek --json", "weights list --json", "config"])
def test_options_of_every_command_are_accepted_after_it(words: str, tmp_path: Path, run) -> None:
    # A module of that name stays imported.
    plugin = tmp_path / f"greek_plugin_{words.split()[-2:][0]}.py"
    plugin.write_text(PLUGIN)
    options = ["--no-plugins", "celeba", "--offline", "--trust-sha256", "0" * 64, "--plugin", plugin]
    before, after = run(*options, *words.split()), run(*words.split(), *options)
    assert (before.code, before.out) == (0, after.out), after.err
    assert run(*words.split(), "--plugin", tmp_path / "missing.py").code == 2
