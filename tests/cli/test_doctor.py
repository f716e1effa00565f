"""``faceinv doctor``, ``--version`` and shell completion."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from faceinv.cli import main
from faceinv.cli.doctor import without_paths


def run(*args: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(args)
    return stop.value.code  # type: ignore[return-value]


def test_doctor_reports_versions_weights_and_problems_without_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    broken = tmp_path / "broken.py"
    broken.write_text("raise RuntimeError('no such library')")
    assert run("doctor", "--json", "--plugin", str(broken)) == 0
    printed = capsys.readouterr().out
    facts = json.loads(printed)
    assert facts["versions"]["torch"] == importlib.metadata.version("torch")
    assert facts["versions"]["faceinv-plugins"] == importlib.metadata.version("faceinv-plugins")
    chain = facts["default chain"]
    assert chain["arcface.mobilefacenet/tflite"] == "missing"
    assert "inversion" in chain["default run"]
    assert float(chain["image-steps per second"].split()[0]) > 0
    assert "no such library" in facts["problems"][0]
    assert (facts["cache"]["chosen by"], facts["cache"]["files"]) == ("FACEINV_CACHE", 0)
    assert str(tmp_path) not in printed
    assert run("doctor", "--no-plugins", "dcgan") == 0
    assert "default chain: cannot be resolved" in capsys.readouterr().out


def test_paths_of_the_user_are_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = {"a": [f"{tmp_path}/plugin.py: failed", f"{tmp_path}/here/x"], "n": 3}
    assert without_paths(given) == {"a": ["~/plugin.py: failed", "./x"], "n": 3}


def test_version_names_torch_and_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == f"faceinv {importlib.metadata.version('faceinv')}"
    assert f"torch {importlib.metadata.version('torch')}" in rest
    assert any(line.startswith("faceinv-plugins ") for line in rest)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("faceinv benc", ["bench"]),
        ("faceinv bench --encoder arcface.mobile", ["arcface.mobilefacenet"]),
        ("faceinv bench --losses id,l", ["id,landmarks", "id,lm"]),
    ],
)
def test_the_shell_completes_commands_and_names(words: str, expected: list[str]) -> None:
    given = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_FACEINV_COMPLETE": "bash_complete"}
    done = subprocess.run(
        [sys.executable, "-m", "faceinv"], env=os.environ | given, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [f"plain,{name}" for name in expected]
