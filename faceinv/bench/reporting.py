"""Reporters of a run: named in a config, called in threads of their own, and never able to stop the run."""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np

from faceinv.bench.cell import Cell
from faceinv.contracts.reporting import BatchFacts, CellFacts, CellResult, Picture, RunFacts, RunReporter
from faceinv.errors import FaceinvError, InputError, StorageError, described, shown
from faceinv.plugins.host import Host
from faceinv.plugins.options import parse_reporter
from faceinv.storage.parts import Parts
from faceinv.storage.records import FinishedCell
from faceinv.storage.run_folder import RunFolder
from faceinv.storage.schema import finite

#: Seconds that the end of a run waits for reporters that have not yet taken all events, and after an interruption.
PATIENCE, HURRY = 120.0, 5.0


class _Apart:
    """Standard output for everybody but the threads of reporters, whose text goes to standard error."""

    def __init__(self, results: Any) -> None:
        self._results = results

    def __getattr__(self, name: str) -> Any:
        own = isinstance(threading.current_thread(), _Thread)
        return getattr(sys.stderr if own else self._results, name)


class _Thread(threading.Thread):
    """A thread that hands events to one reporter.

    Args:
        whose: The reporter's name for messages.
        reporter: The reporter.
    """

    def __init__(self, whose: str, reporter: RunReporter) -> None:
        super().__init__(name=whose, daemon=True)
        self.whose, self._reporter = whose, reporter
        self.events: queue.SimpleQueue[tuple[str, tuple[Any, ...]] | None] = queue.SimpleQueue()
        self.problem = ""

    def run(self) -> None:
        """Hand over events until one fails or there are no more."""
        while (event := self.events.get()) is not None:
            name, arguments = event
            try:
                getattr(self._reporter, name)(*arguments)
            except BaseException as error:  # a plugin may raise SystemExit
                self.problem = f"it failed in {name}(): {shown(described(error), 300)}"
                return


class Reporters:
    """The reporters of a run, as one; a context in which the run takes place.

    Args:
        reporters: Each with its name for messages.
        say: Called with warnings, in the thread of the run.
        patience: Seconds to wait at the end for reporters that are slow.
    """

    def __init__(
        self,
        reporters: Iterable[tuple[str, RunReporter]] = (),
        *,
        say: Callable[[str], None] = lambda text: None,
        patience: float = PATIENCE,
    ) -> None:
        self._threads = [_Thread(whose, reporter) for whose, reporter in reporters]
        self._say, self._patience = say, patience

    @classmethod
    def of(cls, host: Host, given: Sequence[str], say: Callable[[str], None]) -> Reporters:
        """Return the reporters that a config names.

        Raises:
            UsageError: if there is no such reporter or option, or a package that one needs is not installed.
            PluginError: if one cannot be built.
        """
        made = []
        for text in given:
            spec, options = parse_reporter(host, text)
            reporter = host.build(spec, **{**spec.options, **options})
            made.append((f"'{spec.name}' of {host.owner('reporter', spec.name)}", reporter))
        return cls(made, say=say)

    def __bool__(self) -> bool:
        """Return whether anybody listens."""
        return bool(self._threads)

    def __enter__(self) -> Reporters:
        self._output = sys.stdout
        if self:
            sys.stdout = cast(Any, _Apart(self._output))
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None:
            text = str(error) if isinstance(error, FaceinvError) else described(error)
            self.failed("interrupted" if isinstance(error, KeyboardInterrupt) else text, None)
        self._finish(self._patience if error is None else min(HURRY, self._patience))
        if isinstance(sys.stdout, _Apart):
            sys.stdout = self._output

    def run_started(self, out: Path, config: Any, cells: int) -> None:
        """Tell that a run starts; ``config`` is its :class:`faceinv.bench.config.BenchConfig`."""
        if self:
            try:
                out.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(f"{out}: cannot be written: {error.strerror or error}.") from error
            self._tell("run_started", RunFacts(out=out, config=config.model_dump(mode="json"), cells=cells))

    def cell_started(self, cell: CellFacts) -> None:
        """Tell that the batches of a cell come next."""
        self._tell("cell_started", cell)

    def batch_done(self, cell: CellFacts, rows: range, done: int, folder: RunFolder) -> None:
        """Tell the scores of a batch, which are in its part."""
        if not self:
            return
        try:
            columns = Parts(folder, cell.id).read(rows).columns
        except InputError:  # another process that shares the folder has finished the cell
            columns = {}
        scores = {name: float(np.nanmean(values)) for name, values in columns.items() if np.isfinite(values).any()}
        self._tell("batch_done", cell, BatchFacts(rows=rows, done=done, scores=scores))

    def cell_done(self, cell: CellFacts, record: FinishedCell, folder: RunFolder, *, cached: bool) -> None:
        """Tell that a cell is finished, with its record and pictures."""
        if self:
            names, place = folder.columns(record.id)["target"], folder.images_folder(record.id)
            files = [
                Picture(name=name, target=place / f"{row:05d}-target.png", reconstruction=place / f"{row:05d}.png")
                for row, name in enumerate(names)
            ]
            self._tell("cell_done", cell, CellResult(record=record.as_json(), pictures=files, cached=cached))

    def failed(self, error: str, cell: CellFacts | None) -> None:
        """Tell that a cell failed, or, without one, the run."""
        self._tell("failed", error, cell)

    def run_done(self, report: Path | None) -> None:
        """Tell that the run is over, and where its page is."""
        self._tell("run_done", report)

    def _tell(self, event: str, *arguments: Any) -> None:
        self._drop_failed()
        for thread in self._threads:
            thread.events.put((event, arguments))

    def _drop_failed(self) -> None:
        for thread in [thread for thread in self._threads if thread.problem]:
            self._drop(thread, thread.problem)

    def _drop(self, thread: _Thread, problem: str) -> None:
        self._threads.remove(thread)
        self._say(f"The reporter {thread.whose} gets no more of this run, which is not affected: {problem}")

    def _finish(self, patience: float) -> None:
        """Wait until every reporter has taken all events, but not for ever."""
        for thread in self._threads:
            thread.events.put(None)
        until = time.monotonic() + patience
        for thread in list(self._threads):
            thread.join(max(0.0, until - time.monotonic()))
            if thread.is_alive():
                self._drop(thread, f"it has not taken all events within {patience:g} seconds of the end.")
        self._drop_failed()


def cell_facts(cell: Cell, cell_id: str, number: int, n: int) -> CellFacts:
    """Return what reporters learn of a cell.

    Args:
        cell: The cell.
        cell_id: Its id.
        number: Its number in the run, from 1.
        n: Number of its targets.
    """
    label = f"{cell.encoder} {cell.generator} {cell.method} {','.join(cell.losses)}"
    return CellFacts(id=cell_id, label=label, number=number, config=finite(asdict(cell)), n=n)
