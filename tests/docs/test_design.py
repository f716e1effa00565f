"""The page on the design agrees with the rules that lint-imports checks, and with the files that are there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explanation" / "design.md").read_text(encoding="utf-8")
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = next(contract["layers"] for contract in CONTRACTS if contract["type"] == "layers")
MODULES = {name for layer in LAYERS for name in layer.split(" | ")}


def test_the_picture_has_the_layers_that_are_checked() -> None:
    picture = PAGE.partition("```text\n")[2].partition("```")[0]
    assert picture.splitlines() == LAYERS


def test_every_module_of_the_core_has_a_sentence() -> None:
    assert set(re.findall(r"^\| `(\w+)(?:/|\.py)` \|", PAGE, re.MULTILINE)) == MODULES


def test_the_public_packages_are_those_that_plugins_may_import() -> None:
    listed = PAGE.partition("Public for plugins:")[2].partition(". Two more")[0]
    forbidden = next(c["forbidden_modules"] for c in CONTRACTS if c["name"] == "Plugins import the public core")
    assert set(re.findall(r"`(\w+)`", listed)) == MODULES - {name.removeprefix("faceinv.") for name in forbidden}


def test_every_path_exists() -> None:
    paths = re.findall(r"`((?:faceinv|plugins)/[\w./]*)`", PAGE)
    assert len(paths) > 25
    assert [path for path in paths if not (ROOT / path).exists()] == []
