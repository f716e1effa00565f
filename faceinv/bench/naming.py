"""What a cell's name is made of, as far as it takes no network to know: the code, and pinned weights."""

from __future__ import annotations

from faceinv.bench.grid import Cell
from faceinv.contracts.specs import LossSpec, MetricSpec, Spec
from faceinv.plugins.code import code_hash, core_hash
from faceinv.plugins.host import Host


def losses_of(host: Host, cell: Cell) -> list[LossSpec]:
    """Return the cell's losses."""
    return [host.spec("loss", name) for name in cell.losses]


def networks_of(host: Host, cell: Cell) -> list[Spec]:
    """Return encoders, generator and probes of the cell: what its weights are of."""
    return [
        host.spec("encoder", cell.encoder),
        *(host.spec("encoder", name) for name in cell.critics),
        host.spec("generator", cell.generator),
        *(host.spec("probe", loss.probe) for loss in losses_of(host, cell) if loss.probe),
    ]


def metrics_of(host: Host, cell: Cell) -> list[MetricSpec]:
    """Return the cell's metrics."""
    return [host.spec("metric", name) for name in cell.metrics]


def code_of(host: Host, cell: Cell) -> dict[str, str]:
    """Return a hash of each module that the cell's numbers come from, by what it is: a change makes new cells."""
    method: Spec = host.spec("method", cell.method)
    specs: list[Spec] = [*networks_of(host, cell), method, *losses_of(host, cell), *metrics_of(host, cell)]
    return {"faceinv": core_hash()} | {f"{spec.kind} {spec.name}": code_hash(spec) for spec in specs}
