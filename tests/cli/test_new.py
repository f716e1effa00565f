"""``faceinv plugins new`` writes plugins that work as they are."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from faceinv.cli.new import KINDS, LICENCES
from faceinv.plugins import Host
from faceinv.testing import run_checks, subjects_of, toy


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_checks(run, kind: str, tmp_path: Path) -> None:
    name = f"my-new-{kind}"
    result = run("plugins", "new", kind, name, "--into", tmp_path)
    assert result.code == 0, result.err
    folder = tmp_path / name
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == name
    assert project["entry-points"]["faceinv"] == {name: f"my_new_{kind}.plugin"}
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "LICENSE":
            words = r"my.template|\b(VERSION|COMMAND|MODULE|HINT|KIND|ARTICLE|LICENCE|AUTHOR|YEAR)\b"
            assert not re.search(words, path.read_text()), path
    host = Host(paths=[folder])
    assert not host.problems
    host.register(toy, "toy", "toy 0")
    plugin = host.manager.get_plugin(name)
    outcomes = [outcome for subject in subjects_of(plugin, host=host) for outcome in run_checks(subject)]
    assert len(outcomes) > 10
    bad = [
        (outcome.check, outcome.message) for outcome in outcomes if outcome.status not in ("passed", "not applicable")
    ]
    assert bad == []
    assert f"faceinv plugins check {name}" in (folder / "README.md").read_text()
    assert f"pip install -e {folder}" in result.out


def test_a_new_encoder_is_benched(run, cache: Path, tmp_path: Path) -> None:
    assert run("plugins", "new", "encoder", "my-benched-encoder", "--into", tmp_path).code == 0
    result = run(
        "--plugin", tmp_path / "my-benched-encoder", "bench", "--encoder", "my-benched-encoder",
        "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
        "--losses", "id", "--limit", "2", "--steps", "3",
        "--pairs", "200", "--metric", "mse", "--out", tmp_path / "run", "--json",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert result.json[0]["encoder"] == "my-benched-encoder"


@pytest.mark.parametrize("licence", LICENCES)
def test_the_licence_is_chosen(run, licence: str, tmp_path: Path) -> None:
    name = f"my-{licence.lower().replace('.', '-')}-loss"
    args = ("--licence", licence, "--author", "Ada Lovelace", "--into", tmp_path)
    assert run("plugins", "new", "loss", name, *args).code == 0
    text = (tmp_path / name / "LICENSE").read_text()
    assert "AUTHOR" not in text
    assert "YEAR" not in text
    assert "Ada Lovelace" in text or licence == "Apache-2.0"
    assert f'license = "{LICENCES[licence]}"' in (tmp_path / name / "pyproject.toml").read_text()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("My_Encoder", "Try 'my-encoder'"),
        ("arcface", "The encoder 'arcface' already exists, from faceinv-plugins"),
        ("torch", "The Python package 'torch' already exists"),
        ("../escape", "not a valid plugin name"),
        ("", "not a valid plugin name"),
    ],
)
def test_names_that_cannot_be(run, name: str, said: str, tmp_path: Path) -> None:
    result = run("plugins", "new", "encoder", name, "--into", tmp_path)
    assert result.code == 2
    assert said in result.err
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(run, tmp_path: Path) -> None:
    (tmp_path / "my-own").mkdir()
    result = run("plugins", "new", "metric", "my-own", "--into", tmp_path)
    assert (result.code, list((tmp_path / "my-own").iterdir())) == (2, [])


def test_writing_a_plugin_imports_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom faceinv.cli import main\n"
        f"try:\n    main(['plugins', 'new', 'probe', 'light-probe', '--into', {str(tmp_path)!r}])\n"
        "except SystemExit as done:\n    assert done.code == 0\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
