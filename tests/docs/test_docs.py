"""The documentation is complete: it builds without warnings, and every hook, command and check is on a page."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from faceinv.cli import COMMANDS
from faceinv.plugins import hookspecs
from faceinv.testing.checks import CHECK_MODULES
from faceinv.testing.conformance import checks_of

ROOT = Path(__file__).parents[2]
HOOKS = [name for name in vars(hookspecs) if name.startswith("faceinv_")]


@pytest.mark.parametrize("hook", HOOKS)
def test_a_hook_has_a_page_and_a_test(hook: str) -> None:
    page = ROOT / "docs" / "reference" / "hooks" / f"{hook}.md"
    assert page.is_file(), f"{hook} has no page"
    assert f"faceinv.plugins.hookspecs.{hook}" in page.read_text()
    tests = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("plugins/*/tests/*.py")]
    own = Path(__file__).resolve()
    assert any(hook in path.read_text() for path in tests if path.resolve() != own), f"{hook} has no test"


def test_every_hook_page_is_of_a_hook_that_exists() -> None:
    pages = {path.stem for path in (ROOT / "docs" / "reference" / "hooks").glob("faceinv_*.md")}
    assert pages == set(HOOKS)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("sphinx", reason="the documentation needs the extra 'docs'")
    out = tmp_path_factory.mktemp("html")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "-d", str(out / ".doctrees")]
    done = subprocess.run([*command, str(ROOT / "docs"), str(out)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return out


def test_it_builds_without_a_warning(html: Path) -> None:
    assert (html / "index.html").is_file()


def test_the_reference_has_every_command_and_check(html: Path) -> None:
    commands = (html / "reference" / "generated" / "command-line.html").read_text()
    for name in COMMANDS:
        assert f"faceinv {name}" in commands
    checks = (html / "reference" / "generated" / "conformance.html").read_text()
    for kind in CHECK_MODULES:
        for check in checks_of(kind):
            assert check.name in checks
