"""The record of a cell, made from its results; :mod:`faceinv.storage.records` defines the keys."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from faceinv.attack.objective import misread_losses
from faceinv.attack.shares import negligible
from faceinv.bench.cell import Cell
from faceinv.bench.naming import losses_of
from faceinv.contracts.methods import Inversion
from faceinv.contracts.specs import MethodSpec, MetricSpec
from faceinv.errors import Failure
from faceinv.plugins.host import Host
from faceinv.scoring.statistics import estimate
from faceinv.storage.columns import base_column
from faceinv.storage.parts import Part
from faceinv.storage.records import FailedCell, FinishedCell
from faceinv.storage.run_folder import environment

if TYPE_CHECKING:
    from faceinv.attack.preparation import ProbeScore
    from faceinv.attack.shares import LossShare
    from faceinv.bench.judge import Judgement
    from faceinv.bench.naming import NamedCell
    from faceinv.data.targets import TargetFiles


def identity_facts(named: NamedCell) -> dict[str, Any]:
    """Return the facts that every record of a cell starts with."""
    return {
        "config": asdict(named.cell),
        "weights": dict(named.weights),
        "code": dict(named.code),
        "environment": environment(),
    }


def plugins_of(host: Host, code: Mapping[str, str]) -> dict[str, str]:
    """Return the distribution and version behind each plugin object whose code is hashed, by the keys of ``code``."""
    named = ((key, *key.split(" ", 1)) for key in code if " " in key)
    return {
        key: _without_path(host.owner(kind, name))
        for key, kind, name in named
        if kind in host.registries and host.knows(kind, name)
    }


def _without_path(owner: str) -> str:
    """Return the name of a plugin given with ``--plugin`` without its folder, which says where somebody works."""
    return owner if os.sep not in owner else f"{Path(owner).name} (not installed)"


def failed_record(named: NamedCell, failure: Failure) -> FailedCell:
    """Return the record of a cell that failed."""
    record = identity_facts(named) | {"status": "failed", "error": failure.text, "exit_code": failure.exit_code}
    return FailedCell.of(named.id, record | ({"traceback": failure.traceback} if failure.traceback else {}))


def finished_record(
    named: NamedCell,
    host: Host,
    targets: TargetFiles,
    whole: Part,
    scores: Judgement,
    probes: Mapping[str, ProbeScore],
    shares: Mapping[str, LossShare],
    scoring_seconds: float,
) -> FinishedCell:
    """Return the record of a cell that was computed to the end.

    Args:
        named: The cell.
        host: The plugins.
        targets: The cell's targets.
        whole: All parts of the cell joined together.
        scores: The cell's scores.
        probes: Score of each probe that the objective reads, by name.
        shares: Share of each loss in the objective, by name.
        scoring_seconds: Time spent on scores that take all targets together.
    """
    method: MethodSpec = host.spec("method", named.cell.method)
    n, facts, seconds = len(targets.ids), whole.facts, whole.facts["seconds"]
    record = identity_facts(named) | {
        "plugins": plugins_of(host, named.code),
        "status": "ok",
        "n": n,
        "real": targets.real,
        "aligned": targets.aligned,
        "targets": targets.digest,
        "batch_size": facts["batch_size"],
        "learned": facts["learned"],
        "learned_hash": facts["learned_hash"],
        "skipped": [list(item) for item in targets.skipped],
        "warnings": [*named.cell.warnings, *_caveats(host, named.cell, probes, shares)],
        "metrics": {
            name: summary(host, named.cell, name, values, targets.identities) for name, values in scores.columns.items()
        },
        "recognition": scores.recognition,
        **scores.protocols,
        "left_out": scores.left_out,
        "probes": {name: asdict(score) for name, score in probes.items()},
        "trajectory": {name: (series / n).tolist() for name, series in whole.trajectory.items()},
        "shares": {name: asdict(share) for name, share in shares.items()},
        "access": method.access,
        "offline": method.offline,
        "queries": facts["queries"],
        "image_steps": facts["image_steps"],
        "queries_mean": facts["queries_sum"] / n,
        "image_steps_mean": facts["image_steps_sum"] / n,
        "seconds": {
            "prepare": round(seconds["prepare"], 3),
            "invert": round(seconds["invert"], 3),
            "score": round(seconds["score"] + scoring_seconds, 3),
            "a_target": facts["seconds_a_target"],
        },
    }
    return FinishedCell.of(named.id, record)


def inverted_record(
    name: str,
    cell: Cell,
    host: Host,
    weights: Mapping[str, str],
    files: Sequence[str],
    columns: Mapping[str, Sequence[float | None]],
    descriptors: Tensor,
    inversion: Inversion,
    probes: Mapping[str, ProbeScore],
    shares: Mapping[str, LossShare],
    *,
    batch_size: int,
    photographs: int,
) -> FinishedCell:
    """Return the record of ``faceinv invert``, which has no data set and no name made from content.

    Args:
        name: Name of the record.
        cell: How the faces were reconstructed.
        host: The plugins.
        weights: Hash of each weights file, by name.
        files: Name of each reconstruction's file, without its suffix.
        columns: A score for each descriptor, by column; ``None`` without a target.
        descriptors: The leaked descriptors ``(N, D)``.
        inversion: The reconstructions.
        probes: Score of each probe that the objective reads, by name.
        shares: Share of each loss in the objective, by name.
        batch_size: Descriptors at a time.
        photographs: Number of descriptors that came from photographs.
    """
    values = {name: [float("nan") if value is None else value for value in found] for name, found in columns.items()}
    facts = {
        "kind": "invert",
        "status": "ok",
        "config": asdict(cell),
        "weights": dict(weights),
        "environment": environment(),
        "n": len(files),
        "real": True if photographs == len(files) else None,
        "targets": hashlib.sha256(descriptors.cpu().numpy().tobytes()).hexdigest()[:16],
        "warnings": [*cell.warnings, *_caveats(host, cell, probes, shares)],
        "files": list(files),
        "skipped": [],
        "metrics": {name: summary(host, cell, name, found) for name, found in values.items()},
        "probes": {name: asdict(score) for name, score in probes.items()},
        "trajectory": {name: series.mean(1).tolist() for name, series in inversion.trajectory.items()},
        "shares": {name: asdict(share) for name, share in shares.items()},
        "access": host.spec("method", cell.method).access,
        "queries": inversion.queries,
        "image_steps": inversion.image_steps,
        "batch_size": batch_size,
        "queries_mean": inversion.queries_mean,
        "image_steps_mean": inversion.image_steps_mean,
    }
    return FinishedCell.of(name, facts)


def _caveats(
    host: Host, cell: Cell, probes: Mapping[str, ProbeScore], shares: Mapping[str, LossShare]
) -> Iterator[str]:
    """Yield a sentence for each probe made for other images, and each loss that is misread or hardly acts."""
    for score in probes.values():
        yield from score.remarks
    if shares:
        yield from misread_losses(losses_of(host, cell), probes, cell.objective, cell.loss_weights).values()
    yield from negligible(shares)


def summary(
    host: Host, cell: Cell, column: str, values: Sequence[float], people: Sequence[str] | None = None
) -> dict[str, Any]:
    """Return the mean of a column with its interval, unit and direction, and the encoder that it reads, if any."""
    name, colon, critic = column.partition(":")
    spec: MetricSpec = host.spec("metric", base_column(name))
    found = asdict(estimate(values, people=people))
    mean = {key: value for key, value in found.items() if key != "people" or value}
    mean |= {"unit": spec.unit, "higher_is_better": spec.higher_is_better}
    return mean | ({"encoder": cell.roles[f"{spec.encoder}{colon}{critic}"]} if spec.encoder else {})
