"""Another machine: wheels of the core, the plugins and a new plugin, in an environment without the checkout.

torch and the other heavy dependencies come from this environment, through a ``.pth`` file that makes them
importable, but nothing of faceinv.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

#: Options for a bench of two targets that the toy chain does not determine.
TWO_TARGETS = [
    "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets", "--losses", "id",
    "--limit", "2", "--steps", "3", "--pairs", "200", "--metric", "mse", "--metric", "id_sim_critic",
]  # fmt: skip


@dataclass(frozen=True)
class Machine:
    """An environment in which faceinv is installed from wheels only."""

    home: Path

    @property
    def python(self) -> Path:
        return self.home / "env" / "bin" / "python"

    def run(self, *command: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        # No variable of the outer environment may lead back to the checkout.
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "FACEINV", "VIRTUAL_ENV"))}
        environment |= {"FACEINV_CACHE": str(self.home / "cache"), "OMP_NUM_THREADS": "1", "FACEINV_OFFLINE": "1"}
        done = subprocess.run(
            [str(part) for part in command], cwd=self.home, env=environment, capture_output=True, text=True, timeout=280
        )
        assert done.returncode == code, f"{command}\n{done.stdout}\n{done.stderr}"
        return done

    def faceinv(self, *arguments: str | Path, code: int = 0) -> str:
        return self.run(self.home / "env" / "bin" / "faceinv", *arguments, code=code).stdout

    def pip(self, *arguments: str | Path) -> None:
        self.run(self.python, "-m", "pip", "-q", "--disable-pip-version-check", *arguments)


def build(source: Path, into: Path) -> Path:
    """Build a distribution's source archive with its own build backend, and from that its wheel, as a release does."""
    sources = into / "sources"
    backend = tomllib.loads((source / "pyproject.toml").read_text())["build-system"]["build-backend"]

    def make(what: str, folder: Path, target: Path) -> Path:
        code = f"import {backend} as backend; print(backend.build_{what}({str(target)!r}))"
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, capture_output=True, text=True)
        return target / done.stdout.strip().splitlines()[-1]

    archive = make("sdist", source, sources)
    with tarfile.open(archive) as packed:
        packed.extractall(sources, filter="data")
    return make("wheel", sources / archive.name.removesuffix(".tar.gz"), into)


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    home = tmp_path_factory.mktemp("machine")
    wheels = home / "wheels"
    wheels.mkdir()
    built = [build(source, wheels) for source in (ROOT, ROOT / "plugins")]
    venv.create(home / "env", with_pip=False, symlinks=True)
    outsider = Machine(home)
    site = next((home / "env" / "lib").glob("python*")) / "site-packages"
    # Share links to third-party distributions, not the folder, because the checkout is installed in it.
    shared = home / "shared"
    shared.mkdir()
    for folder in dict.fromkeys(path for path in sys.path if path.endswith("site-packages")):
        for entry in Path(folder).iterdir():
            target = shared / entry.name
            if "faceinv" not in entry.name and entry.suffix != ".pth" and not target.exists():
                target.symlink_to(entry)
    (site / "shared.pth").write_text(f"{shared}\n")
    outsider.pip("install", "--no-deps", "--no-index", *built)
    return outsider


def test_the_checkout_is_not_there(machine: Machine) -> None:
    where = machine.run(
        machine.python, "-c", "import faceinv, faceinv_arcface; print(faceinv.__file__, faceinv_arcface.__file__)"
    )
    assert str(ROOT) not in where.stdout
    assert str(machine.home) in where.stdout
    listed = json.loads(machine.faceinv("plugins", "--json"))
    assert listed["problems"] == []
    distributions = {plugin["distribution"].split()[0] for plugin in listed["plugins"]}
    assert {"faceinv", "faceinv-plugins"} <= distributions


def files(folder: Path) -> set[str]:
    """Return the paths of all files below a folder of the checkout that git would track."""
    return {
        path.relative_to(folder.parent).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


def test_a_release_has_the_packages_the_licence_and_nothing_else(machine: Machine) -> None:
    packages = {
        "faceinv": files(ROOT / "faceinv"),
        "faceinv_plugins": set().union(*(files(folder) for folder in ROOT.glob("plugins/*/src/*"))),
    }
    shipped = "faceinv_arcface/trained/"
    assert any(name.startswith(shipped) for name in packages["faceinv_plugins"])
    for name, expected in packages.items():
        (wheel,) = (machine.home / "wheels").glob(f"{name}-*.whl")
        found = set(zipfile.ZipFile(wheel).namelist())
        metadata = {path for path in found if ".dist-info/" in path}
        assert found - metadata == expected
        assert any(path.endswith("/licenses/LICENSE") for path in metadata)
        (archive,) = (machine.home / "wheels" / "sources").glob(f"{name}-*.tar.gz")
        with tarfile.open(archive) as packed:
            members = {member.partition("/")[2] for member in packed.getnames()}
        assert {"LICENSE", "README.md", "pyproject.toml", "PKG-INFO"} <= members
        assert not [member for member in members if "tests/" in member and "templates/" not in member]
        assert {member.partition("/src/")[2] or member for member in members} >= expected
        assert len(members) - len(expected) <= 8


def test_a_bundled_plugin_passes_its_checks_there(machine: Machine) -> None:
    rows = json.loads(machine.faceinv("plugins", "check", "id2image", "--json"))
    assert {row["status"] for row in rows} <= {"passed", "not applicable"}


def test_a_plugin_of_ones_own_and_the_core_alone(machine: Machine) -> None:
    machine.faceinv("plugins", "new", "encoder", "my-encoder")
    wheel = build(machine.home / "my-encoder", machine.home / "wheels")
    machine.pip("install", "--no-deps", "--no-index", wheel)
    rows = json.loads(machine.faceinv("plugins", "check", "my-encoder", "--json"))
    assert {row["status"] for row in rows} == {"passed"}
    toy = sysconfig.get_path("purelib", vars={"base": str(machine.home / "env")})
    chain = ("--plugin", Path(toy) / "faceinv" / "testing" / "toy.py")
    rows = json.loads(machine.faceinv(*chain, "bench", "--encoder", "my-encoder", *TWO_TARGETS, "--json"))
    assert (rows[0]["encoder"], rows[0]["n"]) == ("my-encoder", 2)
    report = machine.home / "runs" / "bench" / "report.html"
    report.unlink()
    machine.pip("uninstall", "-y", "faceinv-plugins")
    assert json.loads(machine.faceinv("plugins", "--json"))["problems"] == []
    # The core alone reads what was measured elsewhere.
    machine.faceinv("report", "runs/bench")
    assert report.is_file()
    missing = machine.run(machine.home / "env" / "bin" / "faceinv", "plugins", "show", "landmarks", code=2)
    assert "It comes with faceinv-plugins: pip install faceinv-plugins" in missing.stderr
    machine.pip("uninstall", "-y", "my-encoder")
    assert "my-encoder" not in machine.faceinv("plugins")
