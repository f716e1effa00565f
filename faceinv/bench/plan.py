"""Dry runs: what a run would compute, what exists already, and an estimate of the time left; without torch.

A cell's id includes the fingerprint of its data set, which needs torch. So records are looked up by the rest of the id:
config, code and weights. Whatever cannot be checked is reported, not guessed.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS, BenchConfig
from faceinv.bench.naming import code_of, probes_of
from faceinv.bench.phases import (
    PASS,
    Speed,
    fetch_seconds,
    passes,
    scoring_seconds,
    training_phases,
    weighted_specs,
)
from faceinv.errors import FaceinvError, UsageError
from faceinv.plugins.code import TRAINING, core_hash
from faceinv.plugins.host import Host
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256
from faceinv.storage.records import BegunCell, CellRecord, FinishedCell, read_begun, read_cell
from faceinv.storage.run_folder import RunFolder
from faceinv.weights.store import WeightStore

#: The basis of an estimate without any measurement.
_GUESS = "a guess: no similar cell was timed here"
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
        phases: The parts of the time left, in seconds.
    """

    cell: Cell
    status: str
    id: str | None
    targets_done: int
    unknown: tuple[str, ...]
    fetch: tuple[str, ...]
    seconds: float
    basis: str
    phases: Mapping[str, float]

    def row(self) -> dict[str, Any]:
        """Return the cell as ``--json`` prints it."""
        facts = {name: getattr(self, name) for name in ("id", "status", "targets_done", "seconds", "basis")}
        facts |= {"phases": {name: round(seconds, 1) for name, seconds in self.phases.items()}}
        return facts | {"unknown": list(self.unknown), "fetch": list(self.fetch), "config": asdict(self.cell)}


def plan(
    config: BenchConfig,
    grid: Sequence[Cell],
    host: Host,
    store: WeightStore,
    measure: Callable[[], Callable[[Cell], Speed]] | None = None,
) -> list[Planned]:
    """Return what a run of ``config`` would do, in the order of the grid; fetch and write nothing.

    Args:
        config: The config.
        grid: Its cells.
        host: The plugins.
        store: The weights files.
        measure: Measures this machine, and returns its speed for each cell; called only if no similar cell was timed.
    """
    there = _There.of(config.out)
    planned = [_planned(cell, config, host, store, there) for cell in grid]
    first = [item for item in planned if item.basis == _GUESS and item.status != "cached"]
    if not first or measure is None:
        return planned
    seen: set[object] = set()
    try:
        speed = measure()
        return [_first(item, host, speed(item.cell), seen) if item in first else item for item in planned]
    except FaceinvError:
        # Another machine may compute the run: this one may lack the device, or have a damaged file.
        return planned


def _first(item: Planned, host: Host, speed: Speed, seen: set[object]) -> Planned:
    """Return a cell of a first run, with the time of everything that has to be made for it.

    Args:
        item: The cell.
        host: The plugins.
        speed: The speed of this machine.
        seen: What is counted with an earlier cell.
    """
    cell = item.cell
    phases = {"downloads": fetch_seconds(host, [name for name in item.fetch if name not in seen])}
    seen.update(item.fetch)
    learned = training_phases(cell, host, seen, speed)
    if not _is_learned(cell, host):
        phases["samples"] = sum(phase.seconds for phase in learned if phase.kind != "training")
        phases["training"] = sum(phase.seconds for phase in learned if phase.kind == "training")
    left = round(item.phases["inversion"] / (max(1, cell.steps) * passes(host, cell.method) * PASS))
    phases["inversion"] = left * cell.steps * passes(host, cell.method) * speed.a_pass
    phases["scores and report"] = scoring_seconds(left, speed)
    phases = {name: seconds for name, seconds in phases.items() if seconds}
    return replace(item, phases=phases, seconds=round(sum(phases.values()), 1), basis=speed.basis)


def _is_learned(cell: Cell, host: Host) -> bool:
    """Return whether plugins ship, or an earlier run kept, what the cell's attack learns from pairs.

    The names of networks are compared, and the hash of the core, because other hashes need the files.
    """
    from faceinv.storage.shipments import made_for

    if cell.part:
        # What is learnt from whole descriptors has the same names.
        return False
    of = (cell.steering, cell.generator, cell.pairs, core_hash(of=TRAINING))
    needed = ["whitening", *(f"{name} probe errors" for name in probes_of(host, cell))]
    folders = [cache_folder() / "trained", *(shipment.folder for shipment in host.shipments())]
    return all(any(made_for(folder, what, *of) for folder in folders) for what in needed)


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
        seconds=round(left * max(1, cell.steps) * each * cell.answers, 1),
        basis=basis,
        phases={"inversion": left * max(1, cell.steps) * each * cell.answers},
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
    return own * PASS, _GUESS


def _seconds(item: FinishedCell) -> float:
    """Return the seconds per target and answer of a record."""
    return ((item.seconds.invert or 0) + (item.seconds.score or 0)) / (item.n * item.config.answers)
