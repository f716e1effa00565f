"""Follow a Dockerfile without Docker: its folders below a given one, its RUN lines in a virtual environment.

``python tests/container/dockerfile.py FOLDER [NAME=VALUE ...]`` follows that of the checkout; the values are build
arguments. A base image, its user and its file system are not there, so this does not show that Docker builds the image.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile with their arguments, comments removed and lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", "").splitlines():
        if line.strip():
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


@dataclass
class Image:
    """What a Dockerfile makes below a folder, in an existing virtual environment.

    Args:
        folder: Stands for the root of the image's file system.
        environment: Folder of the virtual environment, which stands for the base image's Python.
        arguments: Build arguments.
    """

    folder: Path
    environment: Path
    arguments: Mapping[str, str]
    variables: dict[str, str] = field(default_factory=dict)
    workdir: Path = Path("/")
    entrypoint: str = ""

    def follow(self, dockerfile: Path) -> None:
        """Carry out each instruction.

        Raises:
            CalledProcessError: a RUN line failed.
        """
        values: dict[str, str] = {}
        for name, rest in instructions(dockerfile.read_text()):
            if name == "ARG":
                key, _, default = rest.partition("=")
                values[key] = self.arguments.get(key, default)
            elif name == "ENV":
                for key, value in re.findall(r"(\w+)=(\S+)", rest):
                    self.variables[key] = str(self.inside(value)) if value.startswith("/") else value
            elif name == "WORKDIR":
                self.workdir = self.inside(rest)
                self.workdir.mkdir(parents=True, exist_ok=True)
            elif name == "COPY":
                assert rest == ". .", rest
                copy_context(dockerfile.parent, self.workdir)
            elif name == "RUN":
                print(f"RUN {rest}", flush=True)
                self.run(rest, values)
            elif name == "ENTRYPOINT":
                self.entrypoint = " ".join(re.findall(r'"([^"]+)"', rest))
            else:
                assert name in ("FROM", "USER", "CMD"), name

    def inside(self, path: str) -> Path:
        """Return where an absolute path of the image is."""
        return self.folder / path.lstrip("/")

    def run(self, line: str, values: Mapping[str, str] = {}) -> subprocess.CompletedProcess[str]:
        """Run a line with ``sh`` in the current folder, with the image's variables."""
        # An image does not have this machine's settings of pip.
        own = ("PYTHON", "FACEINV", "VIRTUAL", "PIP_")
        outer = {key: value for key, value in os.environ.items() if not key.startswith(own)}
        outer["PIP_CONFIG_FILE"] = os.devnull
        path = f"{self.environment / 'bin'}:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "-euc", line], cwd=self.workdir, env={**outer, "PATH": path, **self.variables, **values},
            check=True, text=True, capture_output=True,
        )  # fmt: skip


def copy_context(source: Path, target: Path) -> None:
    """Copy what .dockerignore lets through: the last pattern that a path matches decides."""
    rules = [line for line in (source / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]

    def ignored(folder: str, names: list[str]) -> set[str]:
        out = set()
        for name in names:
            path = (Path(folder) / name).relative_to(source).as_posix()
            for rule in rules:
                pattern = rule.lstrip("!")
                inside = path == pattern or path.startswith(f"{pattern}/")
                anywhere = pattern.startswith("**/") and fnmatch(name, pattern[3:])
                if inside or anywhere or (pattern == "*" and "/" not in path):
                    (out.discard if rule.startswith("!") else out.add)(name)
        return out

    shutil.copytree(source, target, ignore=ignored, dirs_exist_ok=True)


if __name__ == "__main__":
    import venv

    where = Path(sys.argv[1]).resolve()
    venv.create(where / "python", with_pip=True)
    Image(where / "root", where / "python", dict(word.split("=", 1) for word in sys.argv[2:])).follow(
        ROOT / "Dockerfile"
    )
