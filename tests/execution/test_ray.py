"""Answers of a Ray actor, without a cluster; files it returns, and a node with other code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceinv.testing import toy

GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--batch-size", "2", "--pairs", "200", "--losses", "id,brightness", "--limit", "24", "--steps", "150",
    "--leak", "decisions:40",
    "--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
]  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ray")


def start(shared: Path, *args: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "faceinv", "--plugin", toy.__file__, *GRID, *map(str, args)]
    environment = os.environ | {"FACEINV_CACHE": str(shared / "cache"), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.fixture(scope="module")
def local(shared: Path) -> Path:
    process = start(shared, "--out", shared / "local")
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return shared / "local"


def test_files_are_returned_if_no_folder_is_shared(
    shared: Path, local: Path, run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.setup import Setup
    from faceinv.execution.factory import WorkerFactory
    from faceinv.execution.ray_cluster import RayWorker
    from faceinv.execution.tasks import Task

    monkeypatch.setenv("FACEINV_CACHE", str(shared / "cache"))
    setup = Setup(plugins=(toy.__file__,), offline=True)
    (record,) = (json.loads(path.read_text()) for path in (local / "cells").glob("*.json"))
    given = {
        key: record["config"][key] for key in ("encoder", "generator", "dataset", "limit", "steps", "pairs", "leak")
    }
    given |= {"critic": "toy.critic", "losses": "id,brightness", "metrics": record["config"]["metrics"]}
    config, source = load_config(None, given | {"batch_size": 2})
    factory = WorkerFactory.of(setup, config, cells(config, setup.host(), source))
    worker = RayWorker(factory, "cpu", 1, str(shared / "not there"), b"", str(shared))
    answer = worker.work(Task(0, record["id"], range(4, 6), record["targets"], 2))
    assert answer.failure is None
    assert answer.news.steps == 2 * 150
    folder = f"cells/{record['id']}"
    assert list(answer.files)[-1] == f"{folder}/parts/00004-00006.npz"
    assert answer.files[f"{folder}/00005.png"] == (local / folder / "00005.png").read_bytes()
    refused = worker.work(Task(0, "another", range(4, 6), record["targets"], 2)).failure
    assert refused is not None
    assert "has other code, weights or data" in refused.text


def test_an_address_without_the_ray_executor_is_refused(shared: Path) -> None:
    process = start(shared, "--ray-address", "127.0.0.1:1")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--ray-address needs --executor ray" in err
    assert "Traceback" not in err
