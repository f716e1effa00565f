"""Dry runs: what a run would compute, what exists already, and an estimate of the time left; without torch.

A cell's id includes the fingerprint of its data set, which needs torch. So records are looked up by the rest of the id:
config, code and weights. Whatever cannot be checked is reported, not guessed.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS, BenchConfig
from faceinv.bench.naming import code_of, metrics_of, networks_of
from faceinv.contracts.specs import MethodSpec, Spec
from faceinv.errors import UsageError
from faceinv.plugins.host import Host
from faceinv.storage.hashing import file_sha256
from faceinv.storage.records import SCHEMA
from faceinv.storage.run_folder import RunFolder
from faceinv.weights.store import WeightStore

#: Default seconds per pass: half of an image-step of the default chain, on two cores.
GUESS = 0.01
#: Maximum number of records to take times from.
_RECORDS = 300


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
    found = _manifests(config.out)
    measured = _measured(config.out)
    return [_planned(cell, config, host, store, found, measured) for cell in grid]


def _planned(
    cell: Cell,
    config: BenchConfig,
    host: Host,
    store: WeightStore,
    found: Sequence[Mapping[str, Any]],
    measured: Sequence[Mapping[str, Any]],
) -> Planned:
    code, (weights, fetch) = code_of(host, cell), _weights(cell, config, host, store)
    given = json.loads(json.dumps(asdict(cell)))
    fitting = [item for item in found if item["config"] == given and item["code"] == code and _fits(item, weights)]
    record = next((item for item in fitting if item.get("status") == "ok"), None)
    begun = max((item for item in fitting if "done" in item), key=lambda item: item["done"], default=None)
    best = record or begun
    done = record["n"] if record else begun["done"] if begun else 0
    each, basis = _seconds_each(cell, measured, host)
    # Without a record, assume the requested number of targets; a data set may have fewer.
    left = 0 if record else max(0, (begun["n"] if begun else cell.limit) - done)
    unknown = [key for key, value in weights.items() if value is None]
    real = [name for name in (cell.dataset, cell.recognition) if name != TARGETS and _real(host, name)]
    return Planned(
        cell=cell,
        status="cached" if record else "begun" if begun else "missing",
        id=best["id"] if best else None,
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
    specs: list[Spec] = [*networks_of(host, cell), *metrics_of(host, cell)]
    specs += [host.spec("probe", source) for spec in specs for source in getattr(spec, "needs", ())]
    for spec in specs:
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


def _fits(item: Mapping[str, Any], weights: Mapping[str, str | None]) -> bool:
    """Return whether the known hashes equal those of a record."""
    recorded = item["weights"]
    return all(value is None or recorded.get(name) in (value, "not here") for name, value in weights.items())


def _manifests(out: Path) -> list[Mapping[str, Any]]:
    """Return the records of a run, and the descriptions of unfinished cells."""
    found: list[Mapping[str, Any]] = [
        record for record in map(_json, sorted((out / "cells").glob("*.json"))) if _whole(record)
    ]
    folder = RunFolder(out)
    found = [item for item in found if item.get("status") != "ok" or folder.rows_path(item["id"]).is_file()]
    for path in (out / "cells").glob("*/parts/cell.json"):
        item = _json(path)
        if _whole(item):
            rows = [part.stem.split("-") for part in path.parent.glob("*-*.npz")]
            done = sum(int(last) - int(first) for first, last in rows)
            found.append({**item, "done": min(done, item["n"])})
    return found


def _whole(item: Mapping[str, Any]) -> bool:
    return item.get("schema") == SCHEMA and {"id", "config", "code", "weights"} <= set(item)


def _measured(out: Path) -> list[Mapping[str, Any]]:
    """Return finished records with times, of this run and of its sibling folders, newest first."""
    paths = [*out.glob("cells/*.json"), *out.absolute().parent.glob("*/cells/*.json")]
    newest = sorted(set(map(Path.absolute, paths)), key=lambda path: path.stat().st_mtime, reverse=True)
    records = map(_json, newest[:_RECORDS])
    return [item for item in records if item.get("status") == "ok" and item.get("n") and "seconds" in item]


def _seconds_each(cell: Cell, measured: Sequence[Mapping[str, Any]], host: Host) -> tuple[float, str]:
    """Return the seconds per step of the budget, from the most similar timed cells, and the basis of that estimate."""
    networks = [item for item in measured if _same(item, cell, "encoder", "generator")]
    similar = [item for item in networks if _same(item, cell, "method")]
    alike = [item for item in similar if item["config"].get("losses") == list(cell.losses)]
    for items, basis in ((alike, "measured in earlier cells"), (similar, "measured with other losses")):
        if items:
            return statistics.median(_seconds(item) / max(1, item["config"]["steps"]) for item in items), basis
    passes = _passes(host, cell.method)
    # Another method may stop early, so count the steps it used, not its budget.
    others = [
        _seconds(item) / max(1, item.get("image_steps_mean") or item["config"]["steps"]) / _passes(host, method)
        for item in networks
        if host.knows("method", method := item["config"].get("method", ""))
    ]
    if others:
        return passes * statistics.median(others), "measured with other methods"
    return passes * GUESS, "a guess: no similar cell was timed here"


def _same(item: Mapping[str, Any], cell: Cell, *keys: str) -> bool:
    return all(item["config"].get(key) == getattr(cell, key) for key in keys)


def _seconds(item: Mapping[str, Any]) -> float:
    """Return the seconds per target of a record."""
    seconds: float = (item["seconds"]["invert"] + item["seconds"]["score"]) / item["n"]
    return seconds


def _passes(host: Host, method: str) -> int:
    """Return the passes through the networks per step: two with a gradient, forward and backward."""
    spec: MethodSpec = host.spec("method", method)
    return 2 if spec.optimises and spec.access == "white-box" else 1


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
