"""Turn a grid's cells into tasks and their parts into records; an executor decides where tasks run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from faceinv.bench.cell import Cell
from faceinv.bench.naming import NamedCell
from faceinv.bench.reporting import Reporters, cell_facts
from faceinv.bench.runner import Outcome, Runner
from faceinv.contracts.progress import Reporter
from faceinv.contracts.reporting import CellFacts
from faceinv.data.targets import TargetFiles
from faceinv.errors import Failure, StorageError
from faceinv.execution.shards import Shard
from faceinv.execution.tasks import Executor, Task
from faceinv.plugins.guard import guarded
from faceinv.storage.records import FinishedCell


@dataclass(frozen=True)
class Unfinished:
    """A cell that lacks parts which other shards compute.

    Args:
        cell: The cell.
        id: Its id.
        missing: The missing batches.
    """

    cell: Cell
    id: str
    missing: tuple[range, ...]


@dataclass
class GridRun:
    """One pass over a grid.

    Args:
        runner: Names cells and joins their parts.
        cells: The grid.
        executor: Computes the parts.
        shard: The part of the grid to compute, or ``None`` for all of it.
        progress: Called with (what, done, of).
        on_pictures: Called when pictures may have been written.
        reporters: Receive cells, batches and failures.
    """

    runner: Runner
    cells: Sequence[Cell]
    executor: Executor
    shard: Shard | None = None
    progress: Reporter | None = None
    on_pictures: Callable[[], None] = lambda: None
    reporters: Reporters = field(default_factory=Reporters)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    unfinished: dict[int, Unfinished] = field(default_factory=dict)
    #: The cells whose names are known, and the targets of those that are being computed.
    named: dict[int, NamedCell] = field(default_factory=dict)
    targets: dict[int, TargetFiles] = field(default_factory=dict)
    _pending: dict[int, set[range]] = field(default_factory=dict)
    _steps: dict[int, tuple[int, int]] = field(default_factory=dict)
    _facts: dict[int, CellFacts] = field(default_factory=dict)

    def run(self) -> list[Outcome]:
        """Compute what is missing and return the outcome of every cell that is finished or failed.

        Raises:
            StorageError: if the run folder cannot be written; earlier results are kept.
        """
        for done in self.executor.run(self._tasks(), self._on_steps):
            number = done.task.cell
            if done.failure:
                self._fail(number, done.failure)
            elif number not in self.outcomes:
                self._pending[number].discard(done.task.rows)
                left = sum(map(len, self._pending[number]))
                facts = self._facts[number]
                self.reporters.batch_done(facts, done.task.rows, facts.n - left, self.runner.folder)
                if not self._pending[number]:
                    self._finish(number)
        return [self.outcomes[number] for number in sorted(self.outcomes)]

    def _tasks(self) -> Iterator[Task]:
        """Yield the tasks; cells are named one by one, or all at once if a shard has to be found."""
        mine = self._mine() if self.shard else None
        for number in range(len(self.cells)):
            if mine is None:
                self._name(number)
            if number not in self.named or number in self.outcomes:
                continue
            known = self.runner.finished(self.named[number], aloud=True)
            if known:
                self._facts[number] = cell_facts(self.cells[number], known.id, number + 1, known.n)
                self._done(number, known, cached=True)
                continue
            yield from self._batches(number, mine)

    def _batches(self, number: int, mine: set[tuple[int, range]] | None) -> Iterator[Task]:
        cell, named, missing = self.cells[number], self.named[number], None
        with self._failing(number):
            missing = self.runner.missing(named)
            self.targets[number] = self.runner.resources.targets(cell)
            size = self.runner.batch_size(cell, named.id)
        if missing is None:
            return
        self.on_pictures()
        self._facts[number] = cell_facts(cell, named.id, number + 1, len(self.targets[number].ids))
        self.reporters.cell_started(self._facts[number])
        wanted = [rows for rows in missing if mine is None or (number, rows) in mine]
        self._pending[number] = set(wanted)
        total = sum(map(len, wanted if mine is not None else self.runner.batches(named)))
        self._steps[number] = (0, total * cell.steps)
        self._on_steps(number, (total - sum(map(len, wanted))) * cell.steps)
        if not wanted:
            self._finish(number)
        for rows in wanted:
            if number in self.outcomes:
                return
            yield Task(number, named.id, rows, self.targets[number].digest, size)

    def _mine(self) -> set[tuple[int, range]]:
        """Return the shard's batches: an equal share of the whole grid's, whatever is already computed."""
        assert self.shard is not None
        every: list[tuple[int, range]] = []
        for number in range(len(self.cells)):
            self._name(number)
            if number in self.named:
                with self._failing(number):
                    every += [(number, rows) for rows in self.runner.batches(self.named[number])]
        mine = self.shard.slice(len(every))
        return set(every[mine.start : mine.stop])

    def _name(self, number: int) -> None:
        with self._failing(number):
            self.named[number] = self.runner.resources.name(self.cells[number])

    def _finish(self, number: int) -> None:
        """Join the parts of a cell, unless parts of other shards are missing."""
        cell, named = self.cells[number], self.named[number]
        with self._failing(number):
            # Without shards every batch was computed, or found, in this pass.
            missing = self.runner.missing(named) if self.shard else []
            # Looked at last: a process that finishes the cell writes its record before it removes the parts.
            known = self.runner.finished(named)
            if missing and not known:
                self.unfinished[number] = Unfinished(cell, named.id, tuple(missing))
            else:
                self._done(number, known or self.runner.finish(named), cached=False)

    def _done(self, number: int, record: FinishedCell, *, cached: bool) -> None:
        self.outcomes[number] = Outcome(self.cells[number], record.id, record, cached)
        self.reporters.cell_done(self._facts[number], record, self.runner.folder, cached=cached)

    @contextmanager
    def _failing(self, number: int) -> Iterator[None]:
        """Record an error in the block as the failure of a cell; the grid goes on.

        Raises:
            StorageError: if the run folder cannot be written: then no record can be either.
        """
        try:
            with guarded():
                yield
        except StorageError:
            raise
        except Exception as error:
            self._fail(number, Failure.of(self.runner.loader.host.blamed(error)))

    def _fail(self, number: int, failure: Failure) -> None:
        if failure.exit_code == StorageError.exit_code:
            raise StorageError(failure.text)
        if number not in self.outcomes:
            cell = self.cells[number]
            outcome = self.outcomes[number] = self.runner.failed(cell, self.named.get(number), failure)
            facts = self._facts.get(number) or cell_facts(cell, outcome.id, number + 1, 0)
            self.reporters.failed(failure.text, facts)

    def _on_steps(self, number: int, count: int) -> None:
        if not count or number not in self._steps:
            return
        done, total = self._steps[number]
        self._steps[number] = (done + count, total)
        self.on_pictures()
        cell = self.cells[number]
        if self.progress:
            label = f"cell {number + 1} of {len(self.cells)}: {cell.method} {','.join(cell.losses)}"
            self.progress(f"{label}, {self.runner.budget_unit(cell)}", done + count, total)
