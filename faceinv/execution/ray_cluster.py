"""An executor on a Ray cluster: actors keep their networks, and the batch of a lost actor goes to another."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from faceinv.contracts.progress import Reporter
from faceinv.errors import FaceinvError, Failure, UsageError
from faceinv.execution.factory import WorkerFactory
from faceinv.execution.tasks import ATTEMPTS, Done, OnSteps, Queue, Task, Worker
from faceinv.storage.atomic import write_atomically
from faceinv.storage.parts import CELL, Parts
from faceinv.storage.run_folder import RunFolder

#: Seconds between messages that no actor has started yet.
_PATIENCE = 30.0
#: Seconds between two reports of an actor.
_PACE = 0.5


@dataclass
class News:
    """What an actor did since its last report.

    Args:
        cell: Index of its current cell.
        steps: Image-steps done.
        progress: Steps done and total steps of other work, by label.
        remarks: Remarks to print.
    """

    cell: int = 0
    steps: int = 0
    progress: dict[str, tuple[int, int]] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """Result of a task.

    Args:
        failure: The failure of the batch, if any.
        news: Everything since the last report.
        files: Content by path in the run folder if the actor cannot see that folder; the part comes last.
    """

    failure: Failure | None
    news: News
    files: dict[str, bytes] = field(default_factory=dict)


class RayWorker:
    """An actor: a worker that returns files if it does not share the run folder.

    Args:
        make: Makes its runner.
        device: Where its networks run.
        threads: Number of threads.
        mark: A file that the scheduler wrote to the run folder.
        word: Its content, if this is the same folder.
        folder: Working directory for relative paths.
    """

    def __init__(self, make: WorkerFactory, device: str, threads: int, mark: str, word: bytes, folder: str) -> None:
        import torch

        torch.set_num_threads(threads)
        if os.path.isdir(folder):
            os.chdir(folder)
        self._make, self._device = make, device
        self._own = "" if _holds(mark, word) else tempfile.mkdtemp(prefix="faceinv-")
        self._worker: Worker | None = None
        self._news = News()
        #: One thread works, another one answers requests for news.
        self._lock = threading.Lock()

    def ready(self) -> int:
        """Return the id of the process when it is up."""
        return os.getpid()

    def news(self) -> News:
        """Wait a moment and return what happened since the last call."""
        time.sleep(_PACE)
        return self._taken()

    def _taken(self) -> News:
        with self._lock:
            taken, self._news = self._news, News(self._news.cell)
        return taken

    def work(self, task: Task) -> Answer:
        """Compute a batch."""
        with self._lock:
            self._news.cell = task.cell

        def on_step(count: int) -> None:
            with self._lock:
                self._news.steps += count

        def on_progress(what: str, done: int, of: int) -> None:
            with self._lock:
                self._news.progress[what] = (done, of)

        def on_remark(text: str) -> None:
            with self._lock:
                self._news.remarks.append(text)

        try:
            if self._worker is None:
                runner = self._make(device=self._device, progress=on_progress, say=on_remark, out=self._own)
                self._worker = Worker(runner, self._make.cells)
            failure = self._worker.work(task, on_step)
        except Exception as error:
            failure = Failure.of(error)
        return Answer(failure, self._taken(), self._files(task) if self._own and not failure else {})

    def _files(self, task: Task) -> dict[str, bytes]:
        """Return the batch's files and remove them here; the scheduler keeps them."""
        assert self._worker is not None
        folder = self._worker.runner.folder
        paths = sorted(path for path in folder.images_folder(task.cell_id).glob("*.png"))
        parts = Parts(folder, task.cell_id)
        paths += [parts.path / CELL, parts.part_path(task.rows)]
        files = {str(path.relative_to(folder.path)): path.read_bytes() for path in paths}
        shutil.rmtree(folder.images_folder(task.cell_id))
        return files


def _holds(path: str, content: bytes) -> bool:
    try:
        return Path(path).read_bytes() == content
    except OSError:
        return False


@dataclass
class _Slot:
    """An actor, its pending answer and its task; without a task it is starting or idle."""

    actor: Any
    awaited: Any
    news: Any = None
    task: Task | None = None
    steps: int = 0
    up: bool = False


class RayExecutor:
    """Actors on a Ray cluster.

    Args:
        make: Makes an actor's runner.
        out: The run folder; actors that can see it write to it, others send their files.
        address: Address of the cluster; empty takes ``RAY_ADDRESS``, or starts a cluster on this machine.
        workers: Number of actors; by default one per GPU, or one per node without GPUs.
        gpus: Whether an actor takes a GPU.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: if Ray is not installed, or the cluster cannot be reached or lacks the resources.
    """

    def __init__(
        self,
        make: WorkerFactory,
        *,
        out: Path,
        address: str = "",
        workers: int | None = None,
        gpus: bool = False,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        try:
            import ray
        except ImportError:
            raise UsageError("--executor ray needs Ray: pip install 'faceinv[ray]'.") from None
        self._ray = ray
        self._progress = progress
        self._say = say
        self._folder = RunFolder(out)
        self._gpus = gpus
        self._slots: list[_Slot] = []
        self._lost_early = 0
        # A fixed name, so that the next run replaces the file of a killed one.
        self._mark, self._word = out / ".ray", uuid.uuid4().bytes
        address = address or os.environ.get("RAY_ADDRESS", "")
        here: dict[str, Any] = {} if address else {"include_dashboard": False}
        if not address:
            # By default Ray lowers the priority of its workers; on a busy machine they would starve.
            os.environ.setdefault("RAY_worker_niceness", "0")
            # Do not send usage statistics unless the user opts in.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            ray.init(address=address or "local", log_to_driver=False, logging_level="ERROR", **here)
        except (ConnectionError, ValueError, RuntimeError) as error:
            cause = " ".join(str(error).split())
            raise UsageError(f"--ray-address {address}: the cluster cannot be reached: {cause}") from None
        try:
            self._make = ray.put(make)
            self._actors, self._options, self._threads = self._divided(workers)
        except BaseException:
            ray.shutdown()
            raise

    def _divided(self, workers: int | None) -> tuple[int, dict[str, Any], int]:
        """Return the number of actors, the resources of each, and its threads."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cpus = [int(node.get("CPU", 0)) for node in nodes if node.get("CPU", 0) >= 1]
        if self._gpus:
            gpus = int(sum(node.get("GPU", 0) for node in nodes))
            count = workers or gpus
            if not gpus or count > gpus:
                raise UsageError(f"--device cuda: the cluster has {gpus} GPUs, {count or 'at least one'} needed.")
            return count, {"num_gpus": 1, "num_cpus": 1}, max(1, sum(cpus) // count)
        if not cpus:
            raise UsageError("The Ray cluster has no CPU.")
        count = workers or len(cpus)
        # The most CPUs per actor for which all actors fit, each on one node.
        each = next((n for n in range(max(cpus), 0, -1) if sum(cpu // n for cpu in cpus) >= count), 0)
        if not each:
            raise UsageError(f"--workers {count}: the Ray cluster has only {sum(cpus)} CPUs.")
        return count, {"num_cpus": each}, each

    def run(self, tasks: Iterator[Task], on_steps: OnSteps) -> Iterator[Done]:
        """Yield each task when its actor answers."""
        queue = Queue(tasks)
        if not queue:
            return
        write_atomically(self._mark, self._word)
        self._slots = [self._start() for _ in range(self._actors)]
        waited = 0.0
        while True:
            self._assign(queue)
            # Wait for starting actors only while there are tasks for them.
            awaited = {s.awaited: s for s in self._slots if s.awaited is not None and (s.task or queue)}
            if not awaited:
                return
            news = {s.news: s for s in self._slots if s.news is not None and s.task}
            ready, _ = self._ray.wait([*awaited, *news], num_returns=1, timeout=_PATIENCE)
            if not ready:
                waited += _PATIENCE
                if not any(slot.up for slot in self._slots):
                    self._say(f"Waiting for the Ray cluster: no worker has started for {waited:.0f} s.")
                continue
            if ready[0] in news:
                self._reported(news[ready[0]], on_steps)
                continue
            done = self._answered(awaited[ready[0]], queue, on_steps)
            # Assign more work before yielding, so that actors do not wait for the caller.
            self._assign(queue)
            if done:
                yield done

    def close(self) -> None:
        """Stop the actors, leave the cluster, and shut it down if it was started here."""
        for slot in self._slots:
            with suppress(Exception):
                self._ray.kill(slot.actor)
        self._slots.clear()
        self._mark.unlink(missing_ok=True)
        self._ray.shutdown()

    def _start(self) -> _Slot:
        options = {"max_restarts": 0, "scheduling_strategy": "SPREAD", **self._options}
        remote: Any = self._ray.remote(concurrency_groups={"news": 1})(RayWorker)
        device = "cuda" if self._gpus else "cpu"
        mark = str(self._mark), self._word
        actor = remote.options(**options).remote(self._make, device, self._threads, *mark, os.getcwd())
        return _Slot(actor, actor.ready.remote())

    def _assign(self, queue: Queue) -> None:
        """Give every idle actor a task."""
        for slot in self._slots:
            if slot.up and slot.task is None:
                slot.task, slot.steps = queue.take(), 0
                if slot.task is not None:
                    slot.awaited = slot.actor.work.remote(slot.task)
                    self._ask(slot)

    def _ask(self, slot: _Slot) -> None:
        if slot.news is None:
            slot.news = slot.actor.news.options(concurrency_group="news").remote()

    def _reported(self, slot: _Slot, on_steps: OnSteps) -> None:
        """Pass on an actor's report."""
        reference, slot.news = slot.news, None
        # A lost actor is noticed when its answer is read.
        with suppress(self._ray.exceptions.RayError):
            self._tell(slot, self._ray.get(reference), on_steps)
            self._ask(slot)

    def _tell(self, slot: _Slot, news: News, on_steps: OnSteps) -> None:
        for text in news.remarks:
            self._say(text)
        for what, (done, of) in news.progress.items():
            if self._progress:
                self._progress(what, done, of)
        slot.steps += news.steps
        on_steps(news.cell, news.steps)

    def _answered(self, slot: _Slot, queue: Queue, on_steps: OnSteps) -> Done | None:
        task, reference, slot.awaited = slot.task, slot.awaited, None
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if task is None:
                raise FaceinvError(f"A worker of the Ray cluster cannot start: {error.cause}") from None
            slot.task = None
            return Done(task, Failure.of(error))
        except self._ray.exceptions.RayError as error:
            return self._replace(slot, queue, error, on_steps)
        slot.up, slot.task, self._lost_early = True, None, 0
        if task is None:
            return None
        with Parts(self._folder, task.cell_id).locked():
            # Another process may have finished the cell; its files belong to its record.
            for path, content in answer.files.items() if not self._folder.finished(task.cell_id) else ():
                write_atomically(self._folder.path / path, content)
        self._tell(slot, answer.news, on_steps)
        return Done(task, answer.failure)

    def _replace(self, slot: _Slot, queue: Queue, error: Exception, on_steps: OnSteps) -> Done | None:
        """Start another actor in place of a lost one; it waits until the cluster has room."""
        done, why = None, type(error).__name__
        if slot.task is not None:
            self._say(f"A worker was lost ({why}) at targets {slot.task.rows.start} to {slot.task.rows.stop - 1}.")
            on_steps(slot.task.cell, -slot.steps)
            done = queue.give_back(slot.task, why)
        elif not slot.up:
            self._say(f"A worker was lost ({why}) before it was up.")
            self._lost_early += 1
            if self._lost_early >= ATTEMPTS * len(self._slots):
                cause = str(error).strip().splitlines()[-1:] or [why]
                raise FaceinvError(f"No worker of the Ray cluster can start: {cause[0].strip()}")
        # An unreachable actor may still be alive and hold resources that the next one needs.
        with suppress(Exception):
            self._ray.kill(slot.actor)
        self._slots[self._slots.index(slot)] = self._start()
        return done
