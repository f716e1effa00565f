"""The page on dependencies names each of them, and no other."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def declared() -> Iterator[str]:
    for path in (ROOT / "pyproject.toml", *ROOT.glob("plugins/**/pyproject.toml")):
        project = tomllib.loads(path.read_text())["project"]
        for group in (project["dependencies"], *project.get("optional-dependencies", {}).values()):
            names = (re.split(r"[\[<>=!~; ]", requirement)[0] for requirement in group)
            yield from (name for name in names if not name.startswith("faceinv"))


def test_every_dependency_has_a_row_and_every_row_a_dependency() -> None:
    page = (ROOT / "docs/explanation/dependencies.md").read_text().partition("## Written here")[0]
    first_cells = re.findall(r"^\| ([^|]+) \|", page, re.MULTILINE)
    rows = {re.sub(r" \(.*\)", "", name) for cell in first_cells for name in cell.split(", ")} - {"package", "---"}
    assert rows == set(declared())
