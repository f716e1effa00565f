"""Dry runs: what a run would compute, what exists already, and an estimate of the time left; without torch.

A cell's id includes the fingerprint of its data set, which needs torch. So records are looked up by the rest of the id:
config, code and weights. Whatever cannot be checked is reported, not guessed.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS, BenchConfig
from faceinv.bench.naming import code_of
from faceinv.bench.phases import PASS, passes, weighted_specs
from faceinv.errors import UsageError
from faceinv.plugins.host import Host
from faceinv.storage.hashing import file_sha256
from faceinv.storage.records import BegunCell, CellRecord, FinishedCell, read_begun, read_cell
from faceinv.storage.run_folder import RunFolder
from faceinv.weights.store import WeightStore

#: Maximum number of records to take times from.
_RECORDS = 300
_PART = re.compile(r"(\d{1,9})-(\d{1,9})\.npz")


@dataclass(frozen=True)
class Planned:
    """A cell of a dry run.

    Args:
        cell: The cell.
        status: ``"cached"``, ``"begun"`` or ``"missing"``.
        id: Its id, if it has a record or parts.
        targets_done: Number of targets that are already computed.
        unknown: Inputs that could not be checked; if one changed, the cell is computed again.
        fetch: Weights files that would be downloaded.
        seconds: Estimated time left.
        basis: Basis of the estimate.
    """

    cell: Cell
    status: str
    id: str | None
    targets_done: int
    unknown: tuple[str, ...]
    fetch: tuple[str, ...]
    seconds: float
    basis: str

    def row(self) -> dict[str, Any]:
        """Return the cell as ``--json`` prints it."""
        facts = {name: getattr(self, name) for name in ("id", "status", "targets_done", "seconds", "basis")}
        return facts | {"unknown": list(self.unknown), "fetch": list(self.fetch), "config": asdict(self.cell)}


def plan(config: BenchConfig, grid: Sequence[Cell], host: Host, store: WeightStore) -> list[Planned]:
    """Return what a run of ``config`` would do, in the order of the grid; fetch and write nothing."""
    there = _There.of(config.out)
    return [_planned(cell, config, host, store, there) for cell in grid]


@dataclass(frozen=True)
class _There:
    """What earlier runs left.

    Args:
        finished: The records of this run folder whose rows are there.
        begun: Its unfinished cells, and the number of their targets that are computed.
        measured: Records with times, of this run folder and its siblings, newest first.
    """

    finished: Sequence[FinishedCell]
    begun: Sequence[tuple[BegunCell, int]]
    measured: Sequence[FinishedCell]

    @classmethod
    def of(cls, out: Path) -> _There:
        """Read a run folder and its siblings; files that cannot be read are not there."""
        folder = RunFolder(out)
        finished = [folder.finished(path.stem) for path in sorted(folder.records.glob("*.json"))]
        begun = []
        for path in folder.records.glob("*/parts/cell.json"):
            with suppress(ValueError):
                cell, parts = read_begun(path), [_PART.fullmatch(part.name) for part in path.parent.iterdir()]
                done = sum(int(part[2]) - int(part[1]) for part in parts if part)
                begun.append((cell, min(done, cell.n)))
        measured = []
        for path in _latest_records([out.absolute(), *_siblings(out.absolute())]):
            with suppress(ValueError):
                record = read_cell(path)
                if isinstance(record, FinishedCell) and None not in (record.seconds.invert, record.seconds.score):
                    measured.append(record)
        return cls(list(filter(None, finished)), begun, measured)


def _siblings(folder: Path) -> list[Path]:
    try:
        return list(folder.parent.iterdir())
    except OSError:
        return []


def _latest_records(runs: Sequence[Path]) -> list[Path]:
    """Return the newest record files of runs; what is next to a run may be anything, such as a link to nowhere."""
    times: dict[Path, float] = {}
    for run in runs:
        with suppress(OSError):
            times |= {path: path.stat().st_mtime for path in (run / RunFolder.FOLDER).glob("*.json") if path.is_file()}
    return sorted(times, key=times.__getitem__, reverse=True)[:_RECORDS]


def _planned(cell: Cell, config: BenchConfig, host: Host, store: WeightStore, there: _There) -> Planned:
    code, (weights, fetch) = code_of(host, cell), _weights(cell, config, host, store)
    given = json.loads(json.dumps(asdict(cell)))

    def fits(item: CellRecord) -> bool:
        known = all(value is None or item.weights.get(key) in (value, "not here") for key, value in weights.items())
        return item.config.as_json() == given and item.code == code and known

    record = next(filter(fits, there.finished), None)
    begun, done = max((item for item in there.begun if fits(item[0])), key=lambda item: item[1], default=(None, 0))
    best = record or begun
    done = record.n if record else done
    each, basis = _seconds_each(cell, there.measured, host)
    # Without a record, assume the requested number of targets; a data set may have fewer.
    left = 0 if record else max(0, (begun.n if begun else cell.limit) - done)
    unknown = [key for key, value in weights.items() if value is None]
    real = [
        name
        for name in (cell.dataset, cell.recognition, cell.probe_data)
        if name not in (TARGETS, "") and _real(host, name)
    ]
    return Planned(
        cell=cell,
        status="cached" if record else "begun" if begun else "missing",
        id=best.id if best else None,
        targets_done=done,
        unknown=(*(f"the file {name}" for name in unknown), *(f"the images of {name}" for name in real)),
        fetch=fetch,
        seconds=round(left * max(1, cell.steps) * each, 1),
        basis=basis,
    )


def _real(host: Host, dataset: str) -> bool:
    real: bool = host.spec("dataset", dataset.partition(":")[0]).real
    return real


def _weights(
    cell: Cell, config: BenchConfig, host: Host, store: WeightStore
) -> tuple[dict[str, str | None], tuple[str, ...]]:
    """Return the hash of each file, ``None`` if finding it needs a download or torch, and the files to download."""
    own = {host.weighted(name).name: path for name, path in config.weights.items()}
    hashes: dict[str, str | None] = {}
    fetch: list[str] = []
    for spec in weighted_specs(host, cell):
        for number, name in enumerate(spec.weights):
            [file] = host.weights([name])
            if spec.name in own:
                if number == 0:
                    hashes[name] = _hash_of(own[spec.name])
                continue
            location = store.location(name)
            # A pinned hash is known before the file is downloaded; other files must be hashed.
            hashes[name] = file.sha256 or (file_sha256(location) if location else None)
            if location is None:
                fetch.append(name)
    if cell.labels:
        hashes["labels"] = _hash_of(Path(cell.labels))
    return hashes, tuple(dict.fromkeys(fetch))


def _hash_of(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}.") from None


def _seconds_each(cell: Cell, measured: Sequence[FinishedCell], host: Host) -> tuple[float, str]:
    """Return the seconds per step of the budget, from the most similar timed cells, and the basis of that estimate."""
    networks = [
        item for item in measured if (item.config.encoder, item.config.generator) == (cell.encoder, cell.generator)
    ]
    similar = [item for item in networks if item.config.method == cell.method]
    alike = [item for item in similar if item.config.losses == list(cell.losses)]
    for items, basis in ((alike, "measured in earlier cells"), (similar, "measured with other losses")):
        if items:
            return statistics.median(_seconds(item) / max(1, item.config.steps) for item in items), basis
    own = passes(host, cell.method)
    # Another method may stop early, so count the steps it used, not its budget.
    others = [
        _seconds(item) / max(1, item.image_steps_mean or item.config.steps) / passes(host, item.config.method)
        for item in networks
        if host.knows("method", item.config.method)
    ]
    if others:
        return own * statistics.median(others), "measured with other methods"
    return own * PASS, "a guess: no similar cell was timed here"


def _seconds(item: FinishedCell) -> float:
    """Return the seconds per target of a record."""
    return ((item.seconds.invert or 0) + (item.seconds.score or 0)) / item.n
