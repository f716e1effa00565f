"""Hashes of code: what renames a result, and what does not."""

from __future__ import annotations

import importlib
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from faceinv.contracts import ProbeSpec, WeightSpec
from faceinv.errors import PluginError
from faceinv.plugins import Host
from faceinv.plugins.code import CORE, MAKING, NUMBERS, TRAINING, code_hash, codes, core_hash

FILES = {
    "__init__.py": "",
    "plugin.py": "from . import network, unrelated\n",
    "network.py": "from .layers import Layer\ndef build():\n    from my_net.inner import late\n",
    "layers.py": "import my_net.constants as constants\nimport json\nclass Layer: pass\n",
    "constants.py": "from .layers import Layer\n",
    "inner/__init__.py": "",
    "inner/late.py": "from ..other import thing\n",
    "other.py": "thing = 1\n",
    "unrelated.py": "from . import network\n",
}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package ``my_net`` that can be found, but must not be imported."""
    for name, text in FILES.items():
        file = tmp_path / "my_net" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"raise SystemExit('imported')\n{text}")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path / "my_net"


def spec(target: str) -> ProbeSpec:
    return ProbeSpec(name="p", summary="s", target=target, licence="MIT")


@pytest.mark.parametrize(
    "edited",
    ["network.py", "layers.py", "constants.py", "inner/late.py", "other.py", "__init__.py", "inner/__init__.py"],
)
def test_an_edit_in_what_the_target_imports_changes_its_hash(package: Path, edited: str) -> None:
    before = code_hash(spec("my_net.network:build"))
    assert code_hash(spec("my_net.network:build")) == before
    (package / edited).write_text((package / edited).read_text() + "edited = True\n")
    assert code_hash(spec("my_net.network:build")) != before
    assert "my_net" not in sys.modules


@pytest.mark.parametrize("edited", ["plugin.py", "unrelated.py"])
def test_an_edit_elsewhere_in_the_package_does_not(package: Path, edited: str) -> None:
    before = code_hash(spec("my_net.network:build"))
    (package / edited).write_text((package / edited).read_text() + "edited = True\n")
    assert code_hash(spec("my_net.network:build")) == before


def test_an_edit_in_another_plugin_that_the_target_imports_changes_its_hash(package: Path) -> None:
    other = package.parent / "faceinv_trunk_of_a_test"
    other.mkdir()
    (other / "__init__.py").write_text("from .layers import Trunk\n")
    (other / "layers.py").write_text("import json\n")
    (package / "network.py").write_text("from faceinv_trunk_of_a_test import Trunk\n")
    importlib.invalidate_caches()
    before = code_hash(spec("my_net.network:build"))
    (other / "layers.py").write_text("import json, re\n")
    assert code_hash(spec("my_net.network:build")) != before


def test_a_new_module_in_place_of_an_attribute_changes_it(package: Path) -> None:
    before = code_hash(spec("my_net.network:build"))
    (package / "other").mkdir()
    (package / "other" / "__init__.py").write_text("thing = 2\n")
    importlib.invalidate_caches()
    assert code_hash(spec("my_net.network:build")) != before


@pytest.mark.parametrize("target", ["no_such_module:x", "my_net.none:x", "my_net.network.none:x", "my_net.half:x"])
def test_a_target_that_cannot_be_hashed_is_a_plugin_error(package: Path, target: str) -> None:
    (package / "half.py").write_text("def broken(:\n")
    importlib.invalidate_caches()
    with pytest.raises(PluginError, match="The probe 'p' cannot be built"):
        code_hash(spec(target))


def test_code_without_a_source_file_has_a_hash() -> None:
    assert len(code_hash(spec("sys:exit"))) == 16


@pytest.fixture
def core(tmp_path: Path) -> Callable[[str], Path]:
    """Copies of the core with one module edited."""

    def copy(edited: str) -> Path:
        folder = tmp_path / edited.replace("/", "-") / "faceinv"
        shutil.copytree(CORE, folder, ignore=shutil.ignore_patterns("__pycache__"))
        (folder / edited).write_text((folder / edited).read_text() + "EDITED = True\n")
        return folder

    return copy


@pytest.mark.parametrize("edited", ["execution/ray_cluster.py", "cli/bench.py", "storage/parts.py", "audit/audit.py"])
def test_the_core_that_makes_no_number_renames_none(core: Callable[[str], Path], edited: str) -> None:
    assert core_hash(core=core(edited)) == core_hash()


@pytest.mark.parametrize("edited", ["attack/engine.py", "framing.py", "weights/formats/pickle.py", "bench/judge.py"])
def test_the_core_that_makes_numbers_renames_them(core: Callable[[str], Path], edited: str) -> None:
    assert core_hash(core=core(edited)) != core_hash()


def test_packages_can_be_added_to_the_core_hash(core: Callable[[str], Path]) -> None:
    edited = core("audit/audit.py")
    assert core_hash("audit") != core_hash()
    assert core_hash("audit", core=edited) != core_hash("audit")


def test_what_makes_pairs_is_not_what_uses_them(core: Callable[[str], Path]) -> None:
    pairs = partial(core_hash, of=TRAINING)
    assert pairs(core=core("attack/objective.py")) == pairs(core=core("data/targets.py")) == pairs()
    assert pairs() not in (pairs(core=core("attack/pairs.py")), pairs(core=core("probes/whitening.py")))


def test_what_is_hashed_exists() -> None:
    listed = (*NUMBERS, *MAKING, *TRAINING)
    assert [name for name in listed if not (CORE / name).exists()] == []
    assert not [name for name in listed if (CORE / name).is_dir() and not list((CORE / name).glob("*.py"))]


@pytest.mark.parametrize("edited", ["needed", "converter"])
def test_names_cover_the_probes_that_are_needed_and_the_converters_of_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: Host, edited: str
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own", "needed", "converter"):
        (tmp_path / f"{name}_code.py").write_text("value = 1\n")
    common = {"summary": "s", "licence": "MIT"}
    needed = ProbeSpec(name="needed", target="needed_code:value", **common)
    own = ProbeSpec(name="own", target="own_code:value", needs=("needed",), weights=("own/file",), **common)
    host.declare(needed, "d 1")
    file = WeightSpec(
        name="own/file", filename="f", sha256="", sources=(), licence="MIT", converter="converter_code:value"
    )
    host.registries["weights"].add(file, "d 1")
    before = codes(host, [own])
    assert set(before) == {"probe own", "probe needed", "converter converter_code:value"}
    (tmp_path / f"{edited}_code.py").write_text("value = 2\n")
    after = codes(host, [own])
    assert {name for name in before if before[name] != after[name]} == {name for name in before if edited in name}
