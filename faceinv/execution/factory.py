"""Makes the runner of a worker; sent to other processes and machines, so it holds names and no networks."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from faceinv.bench.cell import Cell
from faceinv.bench.config import BenchConfig
from faceinv.bench.setup import Setup, make_runner

if TYPE_CHECKING:
    from faceinv.bench.runner import Runner
    from faceinv.contracts.progress import Reporter


@dataclass(frozen=True)
class WorkerFactory:
    """Makes the runner of a worker.

    Args:
        setup: Where plugins and weights files come from, with absolute paths.
        config: The config, with absolute paths.
        cells: The grid.
        variables: Environment variables that the worker needs, such as the cache folder.
    """

    setup: Setup
    config: BenchConfig
    cells: tuple[Cell, ...]
    variables: Mapping[str, str]

    @classmethod
    def of(cls, setup: Setup, config: BenchConfig, cells: Sequence[Cell]) -> WorkerFactory:
        """Return the factory for the workers of this process."""
        variables = {name: value for name, value in os.environ.items() if name.startswith("FACEINV_")}
        config = config.model_copy(update={"out": config.out.absolute()})
        return cls(setup.absolute(), config, tuple(cells), variables)

    def __call__(self, *, device: str, progress: Reporter | None, say: Callable[[str], None], out: str = "") -> Runner:
        """Return a runner.

        Args:
            device: Where its networks run.
            progress: Called with (what, done, of).
            say: Called with remarks.
            out: Run folder, if not that of the config.
        """
        os.environ.update(self.variables)
        config = self.config.model_copy(update={"device": device} | ({"out": Path(out)} if out else {}))
        host = self.setup.host()
        store = self.setup.store(host, notify=say)
        return make_runner(host, store, config, self.cells, progress=progress, say=say)
