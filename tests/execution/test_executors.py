"""Records do not depend on where a grid is computed, and the batches of lost workers are computed again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from faceinv.errors import UsageError
from faceinv.execution.shards import Shard
from faceinv.execution.tasks import ATTEMPTS, Queue, Task
from faceinv.hardware import processors
from faceinv.testing import toy

GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "10", "--batch-size", "2", "--steps", "4", "--pairs", "200", "--losses", "id,brightness", "--ablate",
    "--metric", "mse", "--metric", "id_sim_attacked", "--metric", "id_sim_critic",
]  # fmt: skip


def left_behind(out: Path) -> dict[str, Any]:
    """Return the records (without times), rows and pictures of a run."""
    found: dict[str, Any] = {}
    for path in sorted((out / "cells").rglob("*.*")):
        if path.suffix == ".json":
            found[path.name] = {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
        elif path.suffix in (".png", ".parquet"):
            found[str(path.relative_to(out))] = path.read_bytes()
    return found


@pytest.fixture
def started(cache: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command line in its own process."""
    processes: list[subprocess.Popen[str]] = []

    def start(*args: object, **variables: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "faceinv", "--plugin", toy.__file__, *map(str, args)]
        environment = os.environ | {"FACEINV_CACHE": str(cache), "OMP_NUM_THREADS": "1"} | variables
        processes.append(
            subprocess.Popen(
                command,
                env=environment,
                text=True,
                start_new_session=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def children(process: subprocess.Popen[str]) -> list[int]:
    """Return the worker processes of a run."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"spawn_main" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError):
            continue
    return found


def wait_for(condition: Callable[[], Any], seconds: float = 60) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("timed out")


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for worker processes in /proc")
def test_workers_give_the_results_of_one_process_even_if_one_is_killed(
    run: Callable[..., Any], started: Callable[..., subprocess.Popen[str]], cache: Path, tmp_path: Path
) -> None:
    # Each worker makes the same of what leaks.
    leaks = ("--no-ablate", "--leak", "descriptor,scores:5")
    assert run(*GRID, *leaks, "--out", tmp_path / "one").code == 0
    process = started(*GRID, *leaks, "--workers", "2", "--out", tmp_path / "two")
    victim = wait_for(lambda: children(process))[0]
    # Whether it imports or computes, its batch starts again.
    os.kill(victim, signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert "A worker was lost (killed by SIGKILL" in err
    assert left_behind(tmp_path / "one") == left_behind(tmp_path / "two")


def test_one_failing_cell_does_not_stop_the_workers_and_only_their_parent_reports(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    plugin = tmp_path / "failing_method.py"
    plugin.write_text(
        "import os, torch\nfrom faceinv import hookimpl\n"
        "from faceinv.contracts import MethodSpec, ReporterSpec, RunReporter\n"
        "@hookimpl\ndef faceinv_methods():\n"
        "    return [MethodSpec(name='failing', summary='s', target='failing_method:Failing', licence='MIT')]\n"
        "class Failing:\n"
        "    def __call__(self, task): raise ArithmeticError(f'broke on {torch.get_num_threads()} threads')\n"
        "@hookimpl\ndef faceinv_reporters():\n"
        "    return [ReporterSpec(name='told', summary='s', target='failing_method:Told', licence='MIT')]\n"
        "class Told(RunReporter):\n"
        "    def run_started(self, run): self.path = run.out / 'told'\n"
        "    def note(self, name):\n"
        "        with self.path.open('a') as file: file.write(f'{os.getpid()} {name}\\n')\n"
        "    def batch_done(self, cell, batch): self.note('batch done')\n"
        "    def cell_done(self, cell, result): self.note('cell done')\n"
        "    def failed(self, error, cell): self.note('failed')\n"
    )
    choice = ("--method", "failing", "--method", "latent-adam", "--no-ablate", "--json", "--reporter", "told")
    process = started(
        "--plugin", plugin, *GRID, *choice, "--workers", "2", "--out", tmp_path / "run", OMP_NUM_THREADS="3"
    )
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert [row["method"] for row in json.loads(out)] == ["latent-adam"]
    assert "ArithmeticError: broke on 1 threads" in err
    assert "Traceback" not in err
    told = (tmp_path / "run" / "told").read_text().splitlines()
    assert sorted(told) == [f"{process.pid} {event}" for event in (*["batch done"] * 5, "cell done", "failed")]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for worker processes in /proc")
def test_ctrl_c_stops_the_workers_and_keeps_finished_batches(
    started: Callable[..., subprocess.Popen[str]], tmp_path: Path
) -> None:
    many = (*GRID, "--steps", "60", "--limit", "60", "--workers", "2", "--out", tmp_path)
    process = started(*many)
    wait_for(lambda: list(tmp_path.glob("cells/*/parts/*.npz")))
    workers = children(process)
    # As a terminal does: to the whole process group.
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "run the same command again to continue" in err
    assert "Traceback" not in err
    wait_for(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers), 10)
    assert list(tmp_path.glob("cells/*/parts/*.npz"))


@pytest.mark.parametrize(("quota", "found"), [("350000 100000", 3), ("50000 100000", 1), ("max 100000", 8), ("?", 8)])
def test_a_container_s_quota_limits_the_processors(
    quota: str, found: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "cpu.max").write_text(quota)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert processors(tmp_path / "cpu.max") == found
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert processors(tmp_path / "cpu.max") == min(found, 2)


def test_shards_that_share_a_folder_give_the_whole_run(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    parts = ("--no-ablate", "--leak", "dims:3,bits:1")
    assert run(*GRID, *parts, "--out", tmp_path / "one").code == 0
    waiting = []
    for shard in ("2/3", "1/3", "3/3"):
        result = run(*GRID, *parts, "--shard", shard, "--json", "--out", tmp_path / "shards")
        assert result.code == 0, result.err
        waiting.append(result.err.count("waits for"))
    # Ten batches in two cells: the first shard, run second, completes only the first cell.
    assert waiting == [2, 1, 0]
    assert left_behind(tmp_path / "one") == left_behind(tmp_path / "shards")


@pytest.mark.parametrize("n", [0, 1, 7, 12])
@pytest.mark.parametrize("of", [1, 3, 8])
def test_every_item_is_in_exactly_one_shard(n: int, of: int) -> None:
    slices = [Shard(number, of).slice(n) for number in range(1, of + 1)]
    assert [index for part in slices for index in part] == list(range(n))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "/", "1/3/5"])
def test_an_invalid_shard_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="such as 1/8"):
        Shard.parse(text)


def test_a_task_that_kills_every_worker_fails() -> None:
    task = Task(0, "cell", range(4, 8), "targets", 4)
    queue = Queue(iter([task]))
    for _ in range(ATTEMPTS - 1):
        assert queue.take() == task
        assert queue.give_back(task, "killed") is None
    assert queue.take() == task
    done = queue.give_back(task, "killed")
    assert done is not None
    assert done.failure is not None
    assert "lost 3 times at targets 4 to 7: killed" in done.failure.text
    assert queue.take() is None
