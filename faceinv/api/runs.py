"""Run a benchmark, read its results and compare them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faceinv.api.attacks import open_store
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.reporting import Reporters
from faceinv.bench.setup import make_runner
from faceinv.errors import UsageError
from faceinv.execution.local import InProcess
from faceinv.execution.scheduler import GridRun
from faceinv.plugins.host import Host
from faceinv.report import comparison, notebook, run_tables, runs as stored

if TYPE_CHECKING:
    from faceinv.contracts.progress import Reporter


@dataclass(frozen=True)
class Runs(stored.Runs):
    """The contents of some run folders, as plain objects, as a data frame, and as a notebook shows them.

    Args:
        paths: The folders.
        studies: Finished cells, grouped by what may be compared.
        failed: Records of cells that failed.
        probes: Records of ``faceinv probe`` (the paper's Table 1).
        problems: Files that could not be read, each with the reason.
    """

    def rows(self) -> list[dict[str, Any]]:
        """Return an object per finished cell, as ``faceinv bench --json`` prints it."""
        return run_tables.as_rows(list(self.columns))

    def frame(self) -> Any:
        """Return a pandas data frame with a row per finished cell and score: mean, interval and n.

        Raises:
            UsageError: if pandas is not installed.
        """
        try:
            import pandas
        except ImportError:
            raise UsageError("A data frame needs pandas: pip install pandas. Without it, use rows().") from None
        return pandas.DataFrame(
            {"id": column.id, "losses": column.losses}
            | {key: column.settings[key] for key in ("encoder", "generator", "method", "objective", "dataset", "steps")}
            | {"metric": name}
            | {key: value for key, value in summary.as_json().items() if key in ("mean", "low", "high", "n", "unit")}
            for column in self.columns
            for name, summary in column.record.metrics.items()
        )

    def _repr_html_(self) -> str:
        return notebook.of_runs(self)


class Comparison(comparison.Comparison):
    """Two cells on their common targets; a notebook shows the verdict and a table."""

    def _repr_html_(self) -> str:
        return notebook.of_comparison(self)


def run(
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    plugins: Sequence[str | Path] = (),
    offline: bool = False,
    host: Host | None = None,
    progress: Reporter | None = None,
    **keys: Any,
) -> Runs:
    """Run a benchmark as ``faceinv bench`` does, in this process: the same records, and nothing is computed twice.

    Args:
        config: A YAML file, or its keys; the defaults are those that ``faceinv config`` prints.
        plugins: Files or folders of plugins that are not installed.
        offline: Never use the network.
        host: The plugins, if you have loaded them yourself; replaces ``plugins``.
        progress: Called with (what, done, of).
        keys: Keys of the config that override it, such as ``encoder="arcface"``, ``steps=[100, 500]`` and
            ``reporter="tensorboard"``.

    Returns:
        The cells of this config, finished and failed; other cells of the run folder are left out.

    Raises:
        UsageError: if a key, name or value is not allowed.
        StorageError: if the run folder cannot be written; earlier results are kept.

    Example:
        >>> runs = faceinv.run(encoder="arcface", losses=["id", "id,lm,hist"], limit=8, out="runs/first")
        >>> [column.record.metrics["psnr"].mean for column in runs.columns]
        [16.1, 16.4]
    """
    host = host or Host(paths=plugins, offline=offline)
    given = {**(config if isinstance(config, Mapping) else {}), **keys}
    path = None if config is None or isinstance(config, Mapping) else Path(config)
    resolved, source = load_config(path, given)
    grid = cells(resolved, host, source)

    def say(text: str) -> None:
        warnings.warn(text, stacklevel=3)

    runner = make_runner(
        host,
        open_store(host, offline),
        resolved,
        grid,
        progress=progress,
        say=say,
    )
    with Reporters.of(host, resolved.reporter, say) as reporters:
        reporters.run_started(resolved.out, resolved, len(grid))
        outcomes = GridRun(runner, grid, InProcess(runner, grid), None, progress, reporters=reporters).run()
        found = read_runs(runner.folder.path).only(outcome.id for outcome in outcomes)
        reporters.run_done(_page(found, runner.folder.path, host) if reporters else None)
    return found


def _page(found: Runs, folder: Path, host: Host) -> Path:
    """Write the page of a run, which reporters get, and return its path."""
    from faceinv.report.page import render
    from faceinv.storage.atomic import write_atomically

    write_atomically(folder / "report.html", render(found, host=host).encode(errors="backslashreplace"))
    return folder / "report.html"


def read_runs(*folders: str | Path) -> Runs:
    """Read run folders, such as those of ``faceinv bench``: records, values per target, tables.

    Args:
        folders: The folders, or files that ``faceinv submit`` wrote.

    Returns:
        Records by study (``runs.studies``), all finished cells (``runs.columns``, each with its ``record``, a typed
        model, and its ``rows``), ``runs.rows()`` for plain objects and ``runs.frame()`` for a pandas data frame. A
        notebook shows its tables and pictures.

    Raises:
        InputError: if a folder does not exist or holds no record.
    """
    return Runs(**vars(stored.read_runs([Path(folder) for folder in folders])))


def compare(reference: str | Path, other: str | Path, *, losses: str = "") -> tuple[Comparison, ...]:
    """Compare two runs target by target, as ``faceinv compare`` does.

    Args:
        reference: The run that is subtracted.
        other: The other run, on the same targets.
        losses: Only cells with these losses, such as ``"id,lm"``.

    Returns:
        A comparison for each pair of cells, with its ``verdict`` and ``rows``; a notebook shows it as a table.

    Raises:
        InputError: if the runs have no finished cell, or different targets.
        UsageError: if it is ambiguous which cells belong together.
    """
    found = comparison.compare(read_runs(reference), read_runs(other), losses)
    return tuple(Comparison(**vars(item)) for item in found)
