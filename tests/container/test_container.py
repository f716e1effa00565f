"""The Dockerfile without Docker, and the lock file."""

from __future__ import annotations

import json
import re
import sys
import tomllib
import venv
from pathlib import Path

import pytest
from dockerfile import ROOT, Image, instructions
from packaging.requirements import Requirement
from packaging.version import Version

LOCK = ROOT / "requirements" / "lock.txt"


def test_its_installation_is_that_of_the_readme() -> None:
    readme = re.findall(r"^ +\.venv/bin/(pip install .+)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    ran = [rest for name, rest in instructions((ROOT / "Dockerfile").read_text()) if name == "RUN"]
    assert len(readme) == 2
    assert [line for line in ran if line in readme] == readme


def test_each_of_its_lines_does_what_it_says(tmp_path: Path) -> None:
    venv.create(tmp_path / "python", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "python" / "lib").glob("python*/site-packages")
    # Dependencies come from this environment, but nothing of faceinv.
    shared = tmp_path / "shared"
    shared.mkdir()
    for folder in dict.fromkeys(path for path in sys.path if path.endswith("site-packages")):
        for entry in Path(folder).iterdir():
            if "faceinv" not in entry.name and entry.suffix != ".pth" and not (shared / entry.name).exists():
                (shared / entry.name).symlink_to(entry)
    (site / "shared.pth").write_text(f"{shared}\n")
    pip = tmp_path / "python" / "bin" / "pip"
    pip.write_text(f'#!/bin/sh\nexec {tmp_path}/python/bin/python -m pip "$@" --no-index\n')
    pip.chmod(0o755)
    image = Image(tmp_path / "root", tmp_path / "python", {})
    image.follow(ROOT / "Dockerfile")
    found = json.loads(image.run(f"{image.entrypoint} plugins --json").stdout)
    assert found["problems"] == []
    assert {plugin["distribution"].split()[0] for plugin in found["plugins"]} == {"faceinv", "faceinv-plugins"}
    home = tmp_path / "root" / "home" / "faceinv"
    assert {path.stat().st_mode & 0o7777 for path in (home, home / "runs", home / "cache")} == {0o1777}
    copied = {path.name for path in (tmp_path / "root" / "opt" / "faceinv").iterdir()}
    assert not copied & {"tests", "docs", ".git", ".venv", "runs"}
    image.run(f"{image.entrypoint} plugins new encoder mine")
    assert list((home / "mine" / "tests").iterdir())


def locked() -> dict[str, list[tuple[Requirement, bool]]]:
    """Return the pinned requirements by name, and whether each has a hash."""
    found: dict[str, list[tuple[Requirement, bool]]] = {}
    for entry in re.split(r"\n(?=\w)", re.sub(r"^#.*\n", "", LOCK.read_text(), flags=re.MULTILINE)):
        requirement = Requirement(entry.partition("\\")[0].strip())
        found.setdefault(requirement.name.lower(), []).append((requirement, "--hash=sha256:" in entry))
    return found


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.14"])
def test_the_lock_has_every_dependency_within_its_range(python: str) -> None:
    environment = {"python_version": python, "python_full_version": f"{python}.9", "sys_platform": "linux"}
    pinned = {}
    for name, entries in locked().items():
        assert all(hashed for _, hashed in entries), f"{name} has no hash"
        here = [item for item, _ in entries if item.marker is None or item.marker.evaluate(environment)]
        assert len(here) <= 1
        if here:
            (pin,) = here[0].specifier
            assert pin.operator == "=="
            pinned[name] = Version(pin.version)
    for folder in (ROOT, ROOT / "plugins"):
        for text in tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]:
            wanted = Requirement(text)
            if not wanted.name.startswith("faceinv"):
                assert wanted.specifier.contains(pinned[wanted.name]), f"{text}: renew the lock with 'make lock'"


def test_the_lock_names_no_index() -> None:
    assert not re.search(r"://|--(extra-)?index|--find-links|@ ", LOCK.read_text())
