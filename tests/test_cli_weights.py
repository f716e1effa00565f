"""``faceinv weights``, called as a user would."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from faceinv.cli import main

CONTENT = b"the right weights"
RIGHT = hashlib.sha256(CONTENT).hexdigest()

PLUGIN = """
import faceinv
from faceinv.contracts import EncoderSpec, Framing, WeightSpec

FRAME = Framing("f", (8, 8), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.4, 0.8), (0.6, 0.8)))

@faceinv.hookimpl
def faceinv_weights():
    def file(name, sha256, source):
        return WeightSpec(name=name, filename="w.bin", sha256=sha256, sources=(source,), licence="[CC] BY-NC", size=17)
    return [
        file("mine.tag/a", "RIGHT", "file:ORIGIN"),
        file("mine.tag/b", "RIGHT", "file:ORIGIN.gone"),
        file("free/c", "", "file:ORIGIN"),
        file("far/d", "RIGHT", "https://127.0.0.1:9/w"),
    ]

@faceinv.hookimpl
def faceinv_encoders():
    weights = ("mine.tag/a", "mine.tag/b")
    return [EncoderSpec(name="mine.tag", default=True, summary="s", target="m:f", licence="MIT", dim=4, framing=FRAME,
                        weights=weights)]
"""


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


class Shell:
    """The command line in this process, with a plugin that declares a few files."""

    def __init__(self, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.origin = folder / "origin.bin"
        self.origin.write_bytes(CONTENT)
        self.cache = folder / "cache"
        self.plugin = folder / "my_weights.py"
        self.plugin.write_text(PLUGIN.replace("RIGHT", RIGHT).replace("ORIGIN", str(self.origin)))
        self._capfd = capfd

    def __call__(self, *args: str, before: tuple[str, ...] = ()) -> Done:
        self._capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["--plugin", str(self.plugin), *before, "weights", *args])
        out, err = self._capfd.readouterr()
        return Done(int(stopped.value.code or 0), out, err)


@pytest.fixture
def shell(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Shell]:
    made = Shell(tmp_path, capfd)
    monkeypatch.setenv("FACEINV_CACHE", str(made.cache))
    monkeypatch.setenv("COLUMNS", "200")
    yield made
    sys.modules.pop(made.plugin.stem, None)


def test_pull_shows_the_licence_first_then_the_place(shell: Shell) -> None:
    done = shell("pull", "mine.tag/a")
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stderr.splitlines() if "mine.tag/a" in line]
    assert "17 B" in lines[0]
    assert "Licence: [CC] BY-NC." in lines[0]
    assert str(shell.cache) in lines[1]
    again = shell("pull", "mine.tag/a")
    assert "[CC] BY-NC" in again.stderr
    assert "Fetching" not in again.stderr


def test_pull_takes_a_network_and_goes_on_after_a_failure(shell: Shell) -> None:
    for name in ("mine", "mine.tag"):
        done = shell("pull", name, "far/d")
        assert done.returncode == 4
        assert "Traceback" not in done.stderr
        errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
        assert len(errors) == 2
        assert "'mine.tag/b' could not be fetched" in errors[0]
        assert "'far/d' could not be fetched" in errors[1]
        assert "is there a network?" in errors[1]
    assert shell("path", "mine.tag/a").returncode == 0


def test_list_shows_which_files_are_here(shell: Shell) -> None:
    shell("pull", "mine.tag/a")
    rows = {row["name"]: row for row in json.loads(shell("list", "--json").stdout)}
    assert rows["mine.tag/a"]["here"] is True
    assert Path(rows["mine.tag/a"]["path"]).read_bytes() == CONTENT
    assert rows["mine.tag/a"]["used_by"] == ["mine.tag"]
    assert rows["mine.tag/a"]["sha256"] == RIGHT
    assert (rows["mine.tag/b"]["here"], rows["mine.tag/b"]["path"]) == (False, None)
    table = [line.split() for line in shell("list").stdout.splitlines()]
    assert ["mine.tag/a", "17", "B", "yes", "[CC]", "BY-NC", "mine.tag"] in table
    assert ["free/c", "17", "B", "no", "[CC]", "BY-NC"] in table


def test_path_prints_the_path_alone(shell: Shell) -> None:
    done = shell("path", "mine.tag/a")
    assert Path(done.stdout.rstrip("\n")).read_bytes() == CONTENT
    assert done.stdout.count("\n") == 1


def test_verify_finds_a_corrupt_file(shell: Shell) -> None:
    nothing = shell("verify", "mine.tag/a")
    assert nothing.returncode == 4
    assert "faceinv weights pull mine.tag/a" in nothing.stderr
    path = Path(shell("path", "mine.tag/a").stdout.strip())
    good = shell("verify")
    assert good.returncode == 0, good.stderr
    assert f"mine.tag/a {RIGHT} as pinned" in good.stdout
    path.write_bytes(CONTENT[::-1])
    bad = shell("verify", "mine.tag/a")
    assert bad.returncode == 4
    assert RIGHT in bad.stderr
    assert hashlib.sha256(CONTENT[::-1]).hexdigest() in bad.stderr
    assert "Traceback" not in bad.stderr
    assert not path.exists()
    assert path.with_name("w.bin.rejected").exists()


def test_offline(shell: Shell) -> None:
    done = shell("pull", "far/d", before=("--offline",))
    assert done.returncode == 4
    assert "faceinv weights pull far/d" in done.stderr
    assert str(shell.cache) in done.stderr


def test_trust_is_asked_for_and_remembered(shell: Shell) -> None:
    refused = shell("pull", "free/c")
    assert refused.returncode == 4
    assert f"--trust-sha256 {RIGHT}" in refused.stderr
    assert shell("pull", "free/c", before=("--trust-sha256", RIGHT)).returncode == 0
    assert shell("pull", "free/c").returncode == 0
    assert shell("pull", "free/c", before=("--trust-sha256", "12")).returncode == 2


def test_unknown_name_suggests(shell: Shell) -> None:
    done = shell("pull", "mine.tga/a")
    assert done.returncode == 2
    assert "Did you mean 'mine.tag/a'?" in done.stderr


def test_folder_that_cannot_be_written(shell: Shell) -> None:
    shell.cache.write_text("no folder")
    done = shell("pull", "mine.tag/a")
    assert done.returncode == 6
    assert done.stderr.splitlines()[-1].startswith("Error: ")
    assert "FACEINV_CACHE" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_is_light() -> None:
    code = (
        "import sys, faceinv.cli.weights, faceinv.weights.store, faceinv.weights.sources\n"
        "heavy = {'torch', 'numpy', 'requests', 'pypi_simple', 'rich', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    code = code.replace("import sys", "import sys, requests")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 1


UNHASHED = """
import faceinv
from dataclasses import replace
from faceinv.contracts import WeightSpec
from faceinv.testing import toy

@faceinv.hookimpl
def faceinv_weights():
    return [
        WeightSpec(name=f"loose.{name}/w", filename="w.bin", sha256="", sources=(f"file:FOLDER/{name}.bin",),
                   licence="MIT", size=1)
        for name in "ab"
    ]

@faceinv.hookimpl
def faceinv_encoders():
    base = toy.faceinv_encoders()[0]
    return [replace(base, name=f"loose.{name}", default=False, weights=(f"loose.{name}/w",)) for name in "ab"]
"""


def test_all_files_to_be_trusted_are_asked_for_at_once(
    run: Callable[..., Any], cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files without a published hash that a source has, as the user's own files."""
    hashes = []
    for name in "ab":
        (tmp_path / f"{name}.bin").write_bytes(name.encode())
        hashes.append(hashlib.sha256(name.encode()).hexdigest())
    plugin = tmp_path / "loose_plugin.py"
    plugin.write_text(UNHASHED.replace("FOLDER", str(tmp_path)))
    both = " ".join(f"--trust-sha256 {sha256}" for sha256 in hashes)
    commands = (
        ("bench", "--encoder", "loose.a", "--critic", "loose.b", "--generator", "toy-faces", "--out", tmp_path / "run"),
        ("probe", "--encoder", "loose.a", "--encoder", "loose.b", "--dataset", "synthetic", "--generator", "toy-faces",
         "--attributes", "brightness", "--no-image", "--limit", "40", "--out", tmp_path / "probe"),
    )  # fmt: skip
    for command in commands:
        refused = run("--plugin", plugin, *command)
        assert refused.code == 4
        assert f"{both} COMMAND" in refused.err
    sys.modules.pop(plugin.stem, None)
