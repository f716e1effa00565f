"""A batch of one cell as a task, and the worker that computes it."""

from __future__ import annotations

import itertools
import platform
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from faceinv.errors import Failure, InputError

if TYPE_CHECKING:
    from faceinv.bench.cell import Cell
    from faceinv.bench.naming import NamedCell
    from faceinv.bench.runner import Runner


#: How often a batch is begun before it is given up: what kills its worker every time is the batch's own doing.
ATTEMPTS = 3


@dataclass(frozen=True)
class Task:
    """A batch to be computed.

    Args:
        cell: Place of its cell in the grid.
        cell_id: Name of the cell, as whoever sends the task found it.
        rows: Which of the cell's targets.
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
    """A task that was computed, or why it was not."""

    task: Task
    failure: Failure | None = None


#: Told of image-steps as they are done: the place of the cell, and how many.
OnSteps = Callable[[int, int], None]


class Executor(Protocol):
    """Computes tasks somewhere, and leaves their parts in the run folder of whoever asks."""

    def run(self, tasks: Iterator[Task], on_steps: OnSteps) -> Iterator[Done]:
        """Yield each task once it is computed, in any order; tasks are taken as there is room for them."""
        ...

    def close(self) -> None:
        """Stop whatever is still at work."""
        ...


class Worker:
    """Computes batches one by one with networks that stay where they are.

    Args:
        runner: Builds and keeps them.
        cells: The grid.
    """

    def __init__(self, runner: Runner, cells: Sequence[Cell]) -> None:
        self.runner = runner
        self._cells = cells
        self._named: dict[int, NamedCell] = {}

    def work(self, task: Task, on_step: Callable[[int], None]) -> Failure | None:
        """Compute a batch; return why it could not be computed, or ``None``."""
        try:
            self.runner.compute(self._checked(task), task.rows, on_step, task.batch_size)
        except Exception as error:
            return Failure.of(error)
        return None

    def _checked(self, task: Task) -> NamedCell:
        """Return the task's cell, if code, weights and targets are the same here as where the task came from."""
        if task.cell not in self._named:
            self._named[task.cell] = self.runner.resources.name(self._cells[task.cell])
        named = self._named[task.cell]
        if named.id != task.cell_id:
            raise InputError(
                f"The worker on {platform.node()} would compute another cell ({named.id}) than was asked for "
                f"({task.cell_id}): its code, weights or data are not the same. Install the same versions there."
            )
        if self.runner.resources.targets(named.cell).digest != task.targets:
            raise InputError(f"The target images on {platform.node()} are not those of cell {task.cell_id}.")
        return named


@dataclass
class Queue:
    """Tasks that are to be computed, those first that a lost worker left behind.

    Args:
        tasks: All others, taken as there is room.
    """

    tasks: Iterator[Task]
    returned: deque[Task] = field(default_factory=deque)
    lost: dict[Task, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Say whether there is a next task."""
        if not self.returned:
            self.returned.extend(itertools.islice(self.tasks, 1))
        return bool(self.returned)

    def take(self) -> Task | None:
        """Return the next task, or ``None`` where there is none."""
        return self.returned.popleft() if self.returned else next(self.tasks, None)

    def give_back(self, task: Task, why: str) -> Done | None:
        """Take back a task whose worker was lost; return a failure once that happened too often."""
        self.lost[task] = self.lost.get(task, 0) + 1
        if self.lost[task] < ATTEMPTS:
            self.returned.append(task)
            return None
        rows = f"{task.rows.start} to {task.rows.stop - 1}"
        return Done(task, Failure(f"The worker was lost {ATTEMPTS} times at targets {rows}: {why}."))
