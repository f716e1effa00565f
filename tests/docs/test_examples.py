"""Every command and Python block of README and tutorial runs, in the order of the page, in an empty folder.

A command is run twice: its options are resolved with the real names, which validates every name, key and value as the
command itself would; and the command is executed on the toy chain with two targets, because the real networks take
minutes. Only `make bench` and the Python example use the default chain with real weights.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pages import blocks

from faceinv.cli import main
from faceinv.cli.probe import probe as probe_command
from faceinv.data import write_image
from faceinv.plugins import Host
from faceinv.storage import cache_folder
from faceinv.testing import draw_faces, toy
from faceinv.testing.faces import FRAME
from faceinv.testing.toy_networks import ToyEncoder

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs" / "tutorial").glob("*.md")),
    ROOT / "docs" / "how-to" / "many-machines.md",
    ROOT / "docs" / "reference" / "python.md",
]
#: Run folders that exist before a page is followed, by the page's name.
BEFORE = {"README": ("a", "b", "methods"), "read-a-report": ("bench",)}
RUNS = ("bench", "invert", "train")
CHEAP = ["--critic", "toy.critic", "--generator", "toy-faces", "--pairs", "200", "--steps", "2", "--metric", "mse"]


@pytest.fixture
def downloaded() -> Path:
    """The folder with this machine's weights, looked up before the test gets its own cache."""
    folder = cache_folder() / "weights"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture
def folder(downloaded: Path, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with the files that the pages assume, under the names they use."""
    cache.mkdir()
    (cache / "weights").symlink_to(downloaded)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.syspath_prepend(str(tmp_path))
    face = draw_faces(2, type(FRAME)("large", (160, 160), FRAME.points))
    (tmp_path / "portraits").mkdir()
    (tmp_path / "photos").symlink_to("portraits")
    for path in ("portrait.jpg", "portraits/one.png", "portraits/two.png"):
        write_image(face[int(path == "portraits/two.png")], tmp_path / path)
    (tmp_path / "faces").mkdir()
    for index, image in enumerate(draw_faces(60, type(FRAME)("small", (96, 96), FRAME.points))):
        write_image(image, tmp_path / "faces" / f"{index:02d}.png")
    encoder = ToyEncoder()
    np.save(tmp_path / "leaked.npy", encoder(draw_faces(1, toy.FRAMING)).detach().numpy())
    return tmp_path


def call(arguments: list[str]) -> None:
    """Run the command line in this process as if it were a fresh one."""
    for name in [name for name in sys.modules if name.startswith(("my_encoder", "sidelight"))]:
        del sys.modules[name]
    with pytest.raises(SystemExit) as stopped:
        main(["--plugin", str(toy.__file__), *arguments])
    assert not stopped.value.code, f"faceinv {shlex.join(arguments)} ended with {stopped.value.code}"


def execute(command: str, arguments: list[str], before: tuple[str, ...] = ()) -> None:
    """Run an attack command on the toy chain."""
    replaced = {"arcface": "toy", "facenet": "toy", "id,lm,hist": "id,brightness"}
    given = [replaced.get(argument, argument) for argument in arguments]
    for option in ("--steps", "--dataset"):
        place = given.index(option) if option in given else len(given)
        # Each budget or data set would be one more to compute; a folder of photographs is there.
        if not given[place + 1 :][:1] or not given[place + 1].startswith("folder:"):
            given = given[:place] + given[place + 2 :]
    extra = [*CHEAP]
    if command != "invert":
        extra += ["--limit", "2"]
        if not any(argument.startswith("folder:") for argument in given):
            extra += ["--dataset", "toy-targets"]
    if "--encoder" not in given:
        extra += ["--encoder", "toy"]
    if "--losses" not in given:
        extra += ["--losses", "id"]
    call([*before, command, *[argument for argument in given if argument != "--open"], *extra])


def resolve(arguments: list[str], before: tuple[str, ...]) -> None:
    """Resolve the options of a command with the real names, as `faceinv config` does, without computing anything."""
    inputs = re.compile(r".+\.(npy|jpg|png)$")
    call(
        [
            *before,
            "config",
            *[word for word in arguments if not inputs.match(word) and word not in ("--open", "--json")],
        ]
    )


def probe(arguments: list[str]) -> None:
    """Parse the options of `faceinv probe` with the real names, then run it on drawn faces with the toy encoder."""
    options = probe_command.make_context("probe", list(arguments)).params
    host = Host()
    for name in options["encoders"]:
        host.spec("encoder", name)
    host.spec("dataset", options["dataset"].partition(":")[0])
    call(["probe", "--encoder", "toy", "--dataset", "folder:faces", "--attributes", "brightness", "--no-image"])


class Reader:
    """A reader who follows a page.

    Args:
        folder: The working folder.
        environment: Sets an environment variable.
    """

    def __init__(self, folder: Path, environment: Callable[[str, str], None]) -> None:
        self.folder = folder
        self.installed: list[str] = []
        self._set = environment

    def shell(self, line: str) -> None:
        """Execute one line of a page."""
        words = shlex.split(line)
        if words[0] == "make":
            assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
        elif words[:3] == ["python3", "-m", "venv"]:
            pass
        elif words[:2] == [".venv/bin/pip", "install"]:
            install = (ROOT / "Makefile").read_text()
            assert all(word in install for word in words[2:]), line
        elif words[:3] == ["pip", "install", "-e"]:
            assert (self.folder / words[3] / "pyproject.toml").is_file(), line
            self.installed.append(words[3])
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self._set(name, value)
        else:
            assert words[0] in ("faceinv", ".venv/bin/faceinv"), f"this test cannot run: {line}"
            self.faceinv(words[1:])

    def faceinv(self, words: list[str]) -> None:
        """Run a ``faceinv`` command."""
        target = Path()
        if ">" in words:
            words, target = words[: words.index(">")], self.folder / words[-1]
        before = tuple(word for name in self.installed for word in ("--plugin", name))
        while words[0] == "--plugin":
            before, words = (*before, *words[:2]), words[2:]
        command, rest = words[0], words[1:]
        if command in RUNS:
            resolve(rest, before)
            execute(command, rest, before)
        elif command == "probe":
            probe(rest)
        elif target != Path():
            self.capture([*before, *words], target)
        else:
            call([*before, *words])

    def capture(self, words: list[str], target: Path) -> None:
        """Run a command with its output redirected to a file, as the shell would."""
        output = os.dup(1)
        sys.stdout.flush()
        with open(target, "w") as file:
            os.dup2(file.fileno(), 1)
            try:
                call(words)
            finally:
                sys.stdout.flush()
                os.dup2(output, 1)
                os.close(output)

    def python(self, text: str) -> None:
        """Write a block to a file if its first line names one, otherwise run it."""
        named = re.match(r"# (\S+\.py)\n", text)
        if named:
            path = self.folder / named[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            return
        # The same example with fewer steps and pairs, otherwise unchanged.
        cheap = re.sub(r"(invert\([^)]*|probe\([^)]*)\)", r"\1, pairs=200)", text.replace("pairs=1000", "pairs=200"))
        exec(compile(re.sub(r"(invert\([^)]*)\)", r"\1, steps=2)", cheap), "example", "exec"), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_can_be_followed(page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = Reader(folder, monkeypatch.setenv)
    for name in BEFORE.get(page.stem, ()):
        execute("bench", ["--encoder", "toy", "--losses", "id", "--out", f"runs/{name}"])
    for block in blocks(page):
        try:
            getattr(reader, block.kind)(block.text)
        except (AssertionError, Exception) as error:
            raise AssertionError(f"{page.name}:{block.line}: {error}") from error
