"""Fixtures: an isolated host with the toy chain, and the command line run in-process."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from faceinv.cli import main
from faceinv.plugins import Host
from faceinv.testing import toy


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Give every test, and every fixture made for it, the same random numbers, whichever tests ran before."""
    seed = int(os.environ.get("FACEINV_TEST_SEED", "0"))
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.fixture
def host() -> Host:
    """Every installed plugin and the toy chain."""
    built = Host()
    built.register(toy, "toy", "toy 0")
    return built


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder of the test's own."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("FACEINV_CACHE", str(folder))
    return folder


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in this process, with the toy chain loaded."""
    monkeypatch.setenv("COLUMNS", "200")

    def call(*args: str | os.PathLike[str]) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as stopped:
            main(["--plugin", str(Path(toy.__file__)), *map(str, args)])
        captured = capfd.readouterr()
        return Result(int(stopped.value.code or 0), captured.out, captured.err)

    return call


@pytest.fixture(scope="session")
def _toy_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy-run")
    chain = ["--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets"]
    small = ["--losses", "id", "--limit", "5", "--batch-size", "2", "--steps", "3", "--pairs", "200"]
    metrics = [word for name in ("psnr", "mse", "id_sim_critic", "success") for word in ("--metric", name)]
    command = ["--plugin", str(toy.__file__), "bench", *chain, *small, *metrics, "--out", str(folder / "run")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEINV_CACHE", str(folder / "cache"))
        with pytest.raises(SystemExit) as stopped:
            main(command)
    assert not stopped.value.code
    return folder / "run"


@pytest.fixture
def toy_run(_toy_run: Path, cache: Path, tmp_path: Path) -> Path:
    """A copy of a finished run of the toy chain with five targets."""
    shutil.copytree(_toy_run, tmp_path / "run")
    return tmp_path / "run"
