"""Ids of cells, and keys of the things that cells share, from specs and hashes; imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from faceinv.bank.labelling import labelling
from faceinv.bench.cell import Cell
from faceinv.contracts.protection_specs import ATTRIBUTE, ProtectionSpec
from faceinv.contracts.specs import LossSpec, MetricSpec, Spec
from faceinv.plugins.code import codes, core_hash
from faceinv.plugins.host import Host
from faceinv.storage.records import SCHEMA


@dataclass(frozen=True)
class NamedCell:
    """A cell and its id.

    Args:
        cell: The cell.
        weights: Hash of each file and data set that its numbers depend on, by name.
        code: Hash of the code behind its numbers, by plugin.
    """

    cell: Cell
    weights: Mapping[str, str]
    code: Mapping[str, str]

    @property
    def id(self) -> str:
        """The cell's id, a hash of its config, weights and code."""
        return cell_id(self.cell, self.weights, self.code)


def cell_id(cell: Cell, weights: Mapping[str, str] | None = None, code: Mapping[str, str] | None = None) -> str:
    """Return the id of a cell; without hashes it identifies the config alone.

    Args:
        cell: The cell.
        weights: Hash of each file and data set that its numbers depend on, by name.
        code: Hash of the code behind its numbers, by plugin.
    """
    content = {"schema": SCHEMA, "config": asdict(cell), "weights": dict(weights or {}), "code": dict(code or {})}
    return _hash(content)


def losses_of(host: Host, cell: Cell) -> list[LossSpec]:
    """Return the cell's losses."""
    return [host.spec("loss", name) for name in cell.losses]


def probes_of(host: Host, cell: Cell) -> list[str]:
    """Return the names of the probes that the cell's losses read."""
    return [loss.probe for loss in losses_of(host, cell) if loss.probe]


def networks_of(host: Host, cell: Cell) -> list[Spec]:
    """Return the cell's encoders, generator and probes, with those that label photographs to learn from."""
    probes = probes_of(host, cell)
    labels = [labelling(host, name).name for name in probes] if cell.probe_data else []
    return [
        host.spec("encoder", cell.encoder),
        *([host.spec("encoder", cell.surrogate)] if cell.surrogate else []),
        *(host.spec("encoder", name) for name in cell.critics),
        host.spec("generator", cell.generator),
        *(host.spec("probe", name) for name in dict.fromkeys([*probes, *labels])),
    ]


def metrics_of(host: Host, cell: Cell) -> list[MetricSpec]:
    """Return the cell's metrics."""
    return [host.spec("metric", name) for name in cell.metrics]


def protection_of(host: Host, cell: Cell) -> list[ProtectionSpec]:
    """Return the cell's protection, in a list that is empty without one."""
    return [host.spec("protection", cell.protection)] if cell.protection else []


def code_of(host: Host, cell: Cell) -> dict[str, str]:
    """Return a hash of the code behind the cell's numbers, by plugin; an edit makes a new cell."""
    method: Spec = host.spec("method", cell.method)
    specs: list[Spec] = [*networks_of(host, cell), method, *losses_of(host, cell), *metrics_of(host, cell)]
    specs += protection_of(host, cell)
    return {"faceinv": core_hash()} | codes(host, specs)


def scoring_code(host: Host, cell: Cell) -> dict[str, str]:
    """Return a hash of the code that scores the cell's reconstructions, by plugin."""
    encoders = [host.spec("encoder", name) for name in (cell.encoder, *cell.critics)]
    specs: list[Spec] = [*encoders, host.spec("generator", cell.generator), *metrics_of(host, cell)]
    return {"faceinv": core_hash("bench/rescoring.py")} | codes(host, specs)


def rescored_id(parent: str, cell: Cell, weights: Mapping[str, str], code: Mapping[str, str]) -> str:
    """Return the id of a cell whose pictures were scored again.

    Args:
        parent: Checksum of the record that the pictures belong to.
        cell: The cell, with what scores it now.
        weights: Hash of each file and data set that the scores depend on, by name.
        code: Hash of the code that scores, by plugin.
    """
    content = {"schema": SCHEMA, "parent": parent, "config": asdict(cell), "weights": dict(weights), "code": dict(code)}
    return _hash(content)


def preparation_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the attacker's preparation; cells with the same key share it."""
    own = (cell.steering, cell.generator, cell.space, cell.pairs, cell.probes, cell.part)
    # Readers that learn from photographs depend on the targets, whose people they must not see.
    learnt = (cell.probe_data, cell.probe_data_limit, cell.detector, targets_key(cell)) if cell.probe_data else ()
    return (*own, *learnt)


def method_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the cell's method once built; cells with the same key share it."""
    return (preparation_key(cell), cell.method, repr(cell.method_options))


def objective_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the cell's objective; cells with the same key share it."""
    return (preparation_key(cell), cell.losses, cell.objective, tuple(cell.loss_weights.items()))


def protection_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the cell's protected system; cells with the same key share it."""
    own = (cell.protection, json.dumps(cell.protection_options, sort_keys=True), cell.threat, cell.issued, cell.seed)
    # What learns from photographs must not see the targets' people.
    own += targets_key(cell) if ATTRIBUTE in cell.protection_options else ()
    return (cell.encoder, cell.generator, cell.space, cell.pairs, *own)


def targets_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the cell's targets; cells with the same key share them."""
    chosen = (cell.limit, cell.per_person, cell.min_photographs, cell.skip, cell.seed)
    return (cell.generator, cell.space, cell.dataset, _options(cell), cell.labels, cell.detector, *chosen)


def leak_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the map to a surrogate encoder; cells with the same key share it."""
    return (cell.encoder, cell.surrogate, cell.knowledge, targets_key(cell))


def recognition_key(cell: Cell) -> tuple[Any, ...]:
    """Return the fields that decide the gallery of the recognition data set; cells with the same key share it."""
    own = (cell.labels, _options(cell)) if cell.recognition == cell.dataset else ()
    drawn = (cell.recognition_limit, cell.seed)
    return (cell.generator, cell.space, cell.recognition, cell.detector, *drawn, *own)


def targets_id(cell: Cell, images: str, weights: Mapping[str, str], code: Mapping[str, str]) -> str:
    """Return the name of the folder of the cell's targets.

    Args:
        cell: The cell.
        images: Fingerprint of its data set.
        weights: Hash of each weights file that the targets depend on, by name.
        code: Hash of the code of the generator, the data set and, if faces are detected, the detector.
    """
    return _hash([targets_key(cell), images, dict(weights), dict(code), core_hash()])


def _options(cell: Cell) -> str:
    return json.dumps(cell.dataset_options, sort_keys=True)


def _hash(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
