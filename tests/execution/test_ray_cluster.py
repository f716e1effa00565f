"""A real Ray cluster of two nodes gives the results of one process, and computes lost batches again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import FaceinvError
from faceinv.execution.ray_cluster import RayExecutor
from faceinv.execution.tasks import Task
from faceinv.testing import toy

pytest.importorskip("ray", reason="takes Ray: pip install 'faceinv[ray]'")
# Takes seconds on an idle machine; a busy one starts workers slowly.
pytestmark = [
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for workers in /proc"),
    pytest.mark.timeout(600),
]

#: Twelve batches of a cell.
GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--batch-size", "2", "--pairs", "200", "--losses", "id,brightness", "--limit", "24", "--steps", "6",
    "--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic", "--method", "gated",
]  # fmt: skip
PLUGINS = ["--plugin", toy.__file__, "--plugin", str(Path(__file__).parent / "gated_methods.py")]
#: A node with one processor and little memory for objects.
NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}
#: No usage statistics, and workers at normal priority.
VARIABLES = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "OMP_NUM_THREADS": "1"}


Bench = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two nodes on this machine."""
    from ray.cluster_utils import Cluster

    # Paths of sockets must be short.
    folder = tempfile.mkdtemp(prefix="r")
    # A cluster always writes its address here, and the folder may not exist yet.
    Path(os.environ.get("RAY_TMPDIR") or "/tmp", "ray").mkdir(parents=True, exist_ok=True)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in VARIABLES.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        nodes = Cluster(initialize_head=True, head_node_args={**NODE, "temp_dir": folder})
        nodes.add_node(**NODE)
        yield nodes
        nodes.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


class Tickets:
    """Lets batches of a run be computed one by one.

    Args:
        folder: Folder of the tickets.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._given = 0

    def give(self, n: int) -> None:
        """Allow ``n`` more batches."""
        for _ in range(n):
            self._given += 1
            (self.folder / f"ticket-{self._given}").touch()

    def waiting(self) -> list[int]:
        """Return the waiting processes."""
        return [int(path.name.partition("-")[2]) for path in self.folder.glob("waiting-*")]


@pytest.fixture
def tickets(tmp_path: Path) -> Tickets:
    folder = tmp_path / "tickets"
    folder.mkdir()
    return Tickets(folder)


@pytest.fixture
def bench(cluster: Any, cache: Path, tickets: Tickets) -> Iterator[Bench]:
    """Start ``bench`` on the cluster, in its own process."""
    processes: list[subprocess.Popen[str]] = []
    own = VARIABLES | {"FACEINV_CACHE": str(cache), "FACEINV_TEST_TICKETS": str(tickets.folder)}

    def start(*args: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "faceinv", *PLUGINS, *GRID, "--json", "--executor", "ray"]
        command += ["--ray-address", cluster.address, *map(str, args)]
        process = subprocess.Popen(
            command, env=os.environ | own, text=True, start_new_session=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def local(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return the results of one process without a cluster."""
    out = tmp_path_factory.mktemp("local")
    command = [sys.executable, "-m", "faceinv", *PLUGINS, *GRID, "--out", str(out)]
    subprocess.run(
        command,
        env=os.environ | VARIABLES | {"FACEINV_CACHE": str(cache)},
        check=True,
        timeout=120,
        capture_output=True,
    )
    return left_behind(out)


def left_behind(out: Path) -> dict[str, Any]:
    """Return the records (without times), rows and pictures of a run."""
    found: dict[str, Any] = {}
    for path in sorted((out / "cells").rglob("*.*")):
        if path.suffix == ".json":
            found[path.name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
        elif path.suffix in (".png", ".parquet"):
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    """Wait for a run and return its standard error; standard output has only results."""
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, err
    assert "Traceback" not in err
    if code != 130:
        assert [row["method"] for row in json.loads(out)] == ["gated"]
    return err


def parts(out: Path) -> list[Path]:
    return list(out.glob("cells/*/parts/*.npz"))


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 200) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        assert process.poll() is None, process.communicate()[1]
        time.sleep(0.02)
    raise AssertionError("timed out")


def node_of(pid: int, cluster: Any) -> int:
    """Return the number of the node that a worker process belongs to."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return [node.all_processes["raylet"][0].process.pid for node in cluster.list_all_nodes()].index(parent)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def both(tickets: Tickets, process: subprocess.Popen[str]) -> list[int]:
    """Wait until both workers are about to start a batch."""
    return wait_for(lambda: found if len(found := tickets.waiting()) == 2 else None, process)


def test_two_nodes_give_the_results_of_one_process_even_if_a_worker_is_killed(
    cluster: Any, bench: Bench, tickets: Tickets, local: dict[str, Any], tmp_path: Path
) -> None:
    process = bench("--out", tmp_path / "run")
    pids = both(tickets, process)
    assert sorted(node_of(pid, cluster) for pid in pids) == [0, 1]
    os.kill(pids[0], signal.SIGKILL)
    tickets.give(12)
    err = finished(process)
    assert "A worker was lost (" in err
    assert "image-steps: 144/144" in err
    assert left_behind(tmp_path / "run") == local


def test_a_killed_driver_continues_from_finished_batches(
    bench: Bench, tickets: Tickets, local: dict[str, Any], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    tickets.give(3)
    process = bench("--out", out)
    wait_for(lambda: len(parts(out)) == 3, process)
    pids = both(tickets, process)
    process.kill()
    process.communicate()
    before = {path: path.stat().st_mtime_ns for path in parts(out)}
    gone(pids)
    tickets.give(9)
    # Nine tickets are enough, because finished batches are not computed again.
    err = finished(bench("--out", out))
    assert len(before) == 3
    assert "image-steps: 36/144" in err
    assert left_behind(out) == local
    assert not (out / ".ray").exists()


def test_ctrl_c_stops_the_workers_and_keeps_finished_batches(bench: Bench, tickets: Tickets, tmp_path: Path) -> None:
    out = tmp_path / "run"
    tickets.give(1)
    process = bench("--out", out)
    wait_for(lambda: parts(out), process)
    pids = both(tickets, process)
    # As a terminal does: to the whole process group.
    os.killpg(process.pid, signal.SIGINT)
    assert "run the same command again to continue" in finished(process, 130)
    gone(pids)
    assert len(parts(out)) == 1
    assert not (out / ".ray").exists()


def test_a_batch_that_ends_every_worker_fails_and_the_grid_continues(
    bench: Bench, tickets: Tickets, tmp_path: Path
) -> None:
    tickets.give(1)
    err = finished(bench("--out", tmp_path / "run", "--limit", "2", "--method", "fatal", "--method", "gated"), 1)
    assert "The worker was lost 3 times at targets 0 to 1" in err
    records = [json.loads(path.read_text()) for path in (tmp_path / "run").glob("cells/*.json")]
    assert {(record["config"]["method"], record["status"]) for record in records} == {
        ("fatal", "failed"),
        ("gated", "ok"),
    }


class Fatal:
    """An object that ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], None], tuple[int]]:
        return os._exit, (1,)


def test_workers_that_cannot_start_end_the_run(cluster: Any, tmp_path: Path) -> None:
    remarks: list[str] = []
    executor = RayExecutor(Fatal(), out=tmp_path, address=cluster.address, say=remarks.append)  # type: ignore[arg-type]
    try:
        with pytest.raises(FaceinvError, match="No worker of the Ray cluster can start"):
            list(executor.run(iter([Task(0, "cell", range(2), "", 2)]), lambda cell, steps: None))
    finally:
        executor.close()
    assert len(remarks) == 6
    assert all("before it was up" in text for text in remarks)


# Must run last, because the node is not added again.
def test_the_batches_of_a_node_that_is_removed_are_computed_elsewhere(
    cluster: Any, bench: Bench, tickets: Tickets, local: dict[str, Any], tmp_path: Path
) -> None:
    process = bench("--out", tmp_path / "run")
    pids = both(tickets, process)
    cluster.remove_node(cluster.list_all_nodes()[1], allow_graceful=False)
    # The worker may outlive its node for a moment.
    wait_for(lambda: not all(map(alive, pids)), process)
    tickets.give(20)
    err = finished(process)
    assert "A worker was lost (" in err
    assert left_behind(tmp_path / "run") == local


def gone(pids: list[int]) -> None:
    """Wait until these processes have ended."""
    deadline = time.monotonic() + 60
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)
