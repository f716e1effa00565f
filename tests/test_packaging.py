"""The bundled plugins agree with every list of them, and the distributions with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from faceinv.plugins import Host
from faceinv.plugins.bundled import bundled

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent.name for path in ROOT.glob("plugins/*/src"))


def declared(folder: Path) -> dict[str, Any]:
    return tomllib.loads((folder / "pyproject.toml").read_text())


@pytest.mark.parametrize("name", PLUGINS)
def test_a_bundled_plugin_has_its_parts(name: str) -> None:
    package = ROOT / "plugins" / name / "src" / f"faceinv_{name}"
    assert (package / "plugin.py").is_file()
    assert (package / "py.typed").is_file()
    assert list((ROOT / "plugins" / name / "tests").glob("test_*.py"))


def test_one_distribution_has_them_all() -> None:
    project = declared(ROOT / "plugins")
    assert project["project"]["entry-points"]["faceinv"] == {name: f"faceinv_{name}.plugin" for name in PLUGINS}
    built = project["tool"]["hatch"]["build"]
    assert built["dev-mode-dirs"] == [f"{name}/src" for name in PLUGINS]
    assert built["targets"]["wheel"]["packages"] == [f"{name}/src/faceinv_{name}" for name in PLUGINS]
    assert set(Host().distributions) >= set(PLUGINS)
    assert re.findall(r"^-e (\S+)", (ROOT / "requirements" / "checkout.txt").read_text(), re.MULTILINE) == [
        ".",
        "./plugins",
    ]


def test_every_version_is_that_of_the_core() -> None:
    version = declared(ROOT)["project"]["version"]
    plugins = declared(ROOT / "plugins")["project"]
    assert plugins["version"] == version
    assert f"faceinv=={version}" in plugins["dependencies"]
    assert declared(ROOT)["project"]["optional-dependencies"]["all"] == [f"faceinv-plugins=={version}"]
    assert re.search(r"^version: (.*)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1] == version
    assert (ROOT / "plugins" / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


def test_every_bundled_name_says_where_it_comes_from() -> None:
    host = Host()
    names: dict[str, set[str]] = {name: set() for name in PLUGINS}
    for kind in (
        "encoder",
        "generator",
        "probe",
        "loss",
        "method",
        "metric",
        "dataset",
        "detector",
        "protection",
        "reporter",
    ):
        for spec in host.specs(kind):
            assert host.owner(kind, spec.name).split()[0] == "faceinv-plugins"
            names[host.plugin_of(spec)].add(spec.architecture)
    expected = {"faceinv-plugins": {name: sorted(found) for name, found in names.items()}}
    assert bundled() == expected, "edit faceinv/plugins/bundled.toml"


def test_the_layer_rules_know_every_plugin() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(c["forbidden_modules"] for c in contracts if c["name"] == "The core never imports a plugin")
    assert sorted(forbidden) == [f"faceinv_{name}" for name in PLUGINS]


def test_files_stay_readable_in_one_go() -> None:
    sources = [*ROOT.glob("faceinv/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    assert len(sources) > 50
    assert not [path for path in sources if len(path.read_text().splitlines()) >= 400]
