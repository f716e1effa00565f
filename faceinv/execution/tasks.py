"""A batch of one cell as a task, and the worker that computes it."""

from __future__ import annotations

import itertools
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from faceinv.errors import Failure, InputError
from faceinv.plugins.guard import guarded

if TYPE_CHECKING:
    from faceinv.bench.cell import Cell
    from faceinv.bench.naming import NamedCell
    from faceinv.bench.runner import Runner


#: Attempts per batch: a batch that kills its worker every time is at fault itself.
ATTEMPTS = 3


@dataclass(frozen=True)
class Task:
    """A batch to compute.

    Args:
        cell: Index of its cell in the grid.
        cell_id: Id of the cell according to the scheduler.
        rows: Rows among the cell's targets.
        targets: Hash of the cell's target images.
        batch_size: Size of the cell's batches; the last one may be smaller.
    """

    cell: int
    cell_id: str
    rows: range
    targets: str
    batch_size: int


@dataclass(frozen=True)
class Done:
    """A task that was computed, or that failed."""

    task: Task
    failure: Failure | None = None


#: Called with the index of a cell and the number of image-steps since the last call.
OnSteps = Callable[[int, int], None]


class Executor(Protocol):
    """Computes tasks somewhere, and writes their parts to the run folder."""

    def run(self, tasks: Iterator[Task], on_steps: OnSteps) -> Iterator[Done]:
        """Yield each task when it is computed, in any order; tasks are taken when a worker is free."""
        ...

    def close(self) -> None:
        """Stop all workers."""
        ...


class Worker:
    """Computes batches one by one, and keeps its networks.

    Args:
        runner: The runner.
        cells: The grid.
    """

    def __init__(self, runner: Runner, cells: Sequence[Cell]) -> None:
        self.runner = runner
        self._cells = cells
        self._named: dict[int, NamedCell] = {}

    def work(self, task: Task, on_step: Callable[[int], None]) -> Failure | None:
        """Compute a batch; return its failure, or ``None``."""
        try:
            with guarded():
                self.runner.compute(self._checked(task), task.rows, on_step, task.batch_size)
        except Exception as error:
            return Failure.of(self.runner.loader.host.blamed(error))
        return None

    def _checked(self, task: Task) -> NamedCell:
        """Return the task's cell.

        Raises:
            InputError: if code, weights or targets are not the same here as where the task came from.
        """
        if task.cell not in self._named:
            self._named[task.cell] = self.runner.resources.name(self._cells[task.cell])
        named = self._named[task.cell]
        if named.id != task.cell_id:
            raise InputError(
                f"The worker on {platform.node()} has other code, weights or data: it would compute cell {named.id} "
                f"instead of {task.cell_id}. Install the same versions there."
            )
        if self.runner.resources.targets(named.cell).digest != task.targets:
            raise InputError(f"The target images on {platform.node()} differ from those of cell {task.cell_id}.")
        return named


@dataclass
class Queue:
    """Tasks to compute, those of lost workers first.

    Args:
        tasks: All other tasks.
    """

    tasks: Iterator[Task]
    returned: deque[Task] = field(default_factory=deque)
    lost: dict[Task, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Return whether a task is left."""
        if not self.returned:
            self.returned.extend(itertools.islice(self.tasks, 1))
        return bool(self.returned)

    def take(self) -> Task | None:
        """Return the next task, or ``None`` if none is left."""
        return self.returned.popleft() if self.returned else next(self.tasks, None)

    def give_back(self, task: Task, why: str) -> Done | None:
        """Take back the task of a lost worker; return a failure if that happened too often."""
        self.lost[task] = self.lost.get(task, 0) + 1
        if self.lost[task] < ATTEMPTS:
            self.returned.append(task)
            return None
        rows = f"{task.rows.start} to {task.rows.stop - 1}"
        return Done(task, Failure(f"The worker was lost {ATTEMPTS} times at targets {rows}: {why}."))
