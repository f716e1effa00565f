"""The bundled plugins agree with every list of them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from faceinv.plugins import Host
from faceinv.plugins.bundled import bundled

ROOT = Path(__file__).parents[1]
PLUGINS = sorted(path.parent for path in ROOT.glob("plugins/*/pyproject.toml"))


def project(folder: Path) -> dict:
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("folder", PLUGINS, ids=lambda path: path.name)
def test_a_plugin_is_a_distribution_of_its_own(folder: Path) -> None:
    declared = project(folder)
    assert declared["name"] == f"faceinv-{folder.name}"
    assert any(re.match(r"faceinv\b", requirement) for requirement in declared["dependencies"])
    assert declared["entry-points"]["faceinv"] == {folder.name: f"faceinv_{folder.name}.plugin"}
    assert (folder / "src" / f"faceinv_{folder.name}" / "plugin.py").is_file()
    assert (folder / "src" / f"faceinv_{folder.name}" / "py.typed").is_file()
    assert list((folder / "tests").glob("test_*.py"))


def test_one_install_of_the_checkout_has_them_all() -> None:
    listed = re.findall(r"^-e \./plugins/(\w+)", (ROOT / "requirements" / "checkout.txt").read_text(), re.MULTILINE)
    assert sorted(listed) == [path.name for path in PLUGINS]
    installed = {distribution.split()[0] for distribution in Host().distributions.values()}
    assert {f"faceinv-{path.name}" for path in PLUGINS} <= installed


def test_every_bundled_name_says_where_it_comes_from() -> None:
    host = Host()
    declared: dict[str, set[str]] = {f"faceinv-{path.name}": set() for path in PLUGINS}
    for kind in ("encoder", "generator", "probe", "loss", "method", "metric", "dataset", "detector"):
        for spec in host.specs(kind):
            declared[host.owner(kind, spec.name).split()[0]].add(spec.architecture)
    assert bundled() == {name: sorted(names) for name, names in declared.items()}, "edit faceinv/plugins/bundled.toml"


def test_the_layer_rules_know_every_plugin() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    forbidden = next(c["forbidden_modules"] for c in contracts if c["name"] == "The core never imports a plugin")
    assert sorted(forbidden) == [f"faceinv_{path.name}" for path in PLUGINS]


def test_files_stay_readable_in_one_go() -> None:
    sources = [*ROOT.glob("faceinv/**/*.py"), *ROOT.glob("plugins/*/src/**/*.py")]
    assert len(sources) > 50
    assert not [path for path in sources if len(path.read_text().splitlines()) >= 400]
