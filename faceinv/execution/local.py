"""Executors on this machine: in this process, or in several worker processes."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import TYPE_CHECKING, Any

from faceinv.errors import Failure
from faceinv.execution.factory import WorkerFactory
from faceinv.execution.tasks import Done, OnSteps, Queue, Task, Worker
from faceinv.hardware import set_threads

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

    from faceinv.bench.cell import Cell
    from faceinv.bench.runner import Runner
    from faceinv.contracts.progress import Reporter


class InProcess:
    """Computes every batch in this process, one after the other.

    Args:
        runner: The runner.
        cells: The grid.
    """

    def __init__(self, runner: Runner, cells: Sequence[Cell]) -> None:
        self._worker = Worker(runner, cells)

    def run(self, tasks: Iterator[Task], on_steps: OnSteps) -> Iterator[Done]:
        """Yield each task as it is computed."""
        for task in tasks:
            yield Done(task, self._worker.work(task, lambda count, cell=task.cell: on_steps(cell, count)))  # type: ignore[misc]

    def close(self) -> None:
        """Do nothing: there are no workers."""


@dataclass
class _Slot:
    """A worker process and its task."""

    device: str
    process: SpawnProcess
    pipe: Connection
    task: Task | None = None
    steps: int = 0


class Processes:
    """Worker processes on this machine; a lost one is replaced, and its batch starts again.

    Args:
        make: Makes a worker's runner.
        devices: The device of each worker.
        progress: Called with (what, done, of).
        say: Called with remarks.
    """

    def __init__(
        self,
        make: WorkerFactory,
        devices: Sequence[str],
        *,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._make = make
        self._devices = tuple(devices)
        self._progress = progress
        self._say = say
        self._slots: list[_Slot] = []

    def run(self, tasks: Iterator[Task], on_steps: OnSteps) -> Iterator[Done]:
        """Yield each task as its worker reports it."""
        queue = Queue(tasks)
        while True:
            self._assign(queue)
            busy = {slot.pipe: slot for slot in self._slots if slot.task is not None}
            if not busy:
                return
            for pipe in wait(list(busy)):
                slot = busy[pipe]  # type: ignore[index]
                assert slot.task is not None
                try:
                    kind, *content = slot.pipe.recv()
                except (EOFError, OSError):
                    on_steps(slot.task.cell, -slot.steps)
                    done = self._replace(slot, queue)
                    if done:
                        yield done
                    continue
                if kind == "steps":
                    slot.steps += content[0]
                    on_steps(slot.task.cell, *content)
                elif kind == "progress" and self._progress:
                    self._progress(*content)
                elif kind == "say":
                    self._say(*content)
                elif kind == "done":
                    done, slot.task = Done(slot.task, *content), None
                    # Assign more work before yielding, so that workers do not wait for the caller.
                    self._assign(queue)
                    yield done

    def close(self) -> None:
        """Stop the workers; their current batches are lost."""
        for slot in self._slots:
            slot.process.terminate()
        for slot in self._slots:
            slot.process.join()
            slot.pipe.close()
        self._slots.clear()

    def _assign(self, queue: Queue) -> None:
        """Give every idle worker a task; start workers only if there are tasks for them."""
        for slot in self._slots:
            if slot.task is None:
                self._send(slot, queue.take())
        while len(self._slots) < len(self._devices):
            task = queue.take()
            if task is None:
                return
            self._slots.append(self._start(self._devices[len(self._slots)]))
            self._send(self._slots[-1], task)

    def _send(self, slot: _Slot, task: Task | None) -> None:
        slot.task, slot.steps = task, 0
        if task is not None:
            # A worker that has just died is noticed when its answer is read.
            with suppress(OSError):
                slot.pipe.send(task)

    def _start(self, device: str) -> _Slot:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        args = (theirs, self._make, device, len(self._devices))
        process = context.Process(target=_serve, args=args, daemon=True)
        process.start()
        theirs.close()
        return _Slot(device, process, ours)

    def _replace(self, slot: _Slot, queue: Queue) -> Done | None:
        """Start another worker in place of a lost one."""
        slot.process.join()
        slot.pipe.close()
        task, code = slot.task, slot.process.exitcode or 0
        why = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        why += "; was it out of memory (--batch-size, --workers)?" if code == -signal.SIGKILL else ""
        assert task is not None
        self._say(f"A worker was lost ({why}) at targets {task.rows.start} to {task.rows.stop - 1}.")
        done = queue.give_back(task, why)
        self._slots[self._slots.index(slot)] = self._start(slot.device)
        return done


def _serve(pipe: Connection, make: WorkerFactory, device: str, workers: int) -> None:
    """Compute the tasks that come through the pipe until it is closed, as one of this many workers."""
    # Ctrl-C goes to the whole process group; only the main process handles it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    set_threads(workers)

    def tell(*message: Any) -> None:
        # The main process may be gone.
        with suppress(OSError):
            pipe.send(message)

    worker: Worker | None = None
    while True:
        try:
            task: Task = pipe.recv()
        except (EOFError, OSError):
            return
        failure: Failure | None = None
        if worker is None:
            try:
                runner = make(
                    device=device,
                    progress=lambda what, done, of: tell("progress", what, done, of),
                    say=lambda text: tell("say", text),
                )
                worker = Worker(runner, make.cells)
            except Exception as error:
                failure = Failure.of(error)
        if worker is not None:
            failure = worker.work(task, lambda count: tell("steps", count))
        tell("done", failure)
