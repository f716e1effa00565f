"""Where ``bench`` computes: the options, and the executor that they select."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from faceinv.cli.application import Application
from faceinv.errors import UsageError

if TYPE_CHECKING:
    from faceinv.bench.cell import Cell
    from faceinv.bench.config import BenchConfig
    from faceinv.bench.runner import Runner
    from faceinv.contracts.progress import Reporter
    from faceinv.execution.tasks import Executor

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Placement:
    """Where to compute, according to the command line.

    Args:
        executor: ``"local"`` or ``"ray"``.
        workers: Number of workers; ``None`` for one per device or node.
        address: Address of a Ray cluster; empty takes ``RAY_ADDRESS``, or starts a cluster on this machine.
        shard: ``k/n``, or empty for the whole grid.
    """

    executor: str
    workers: int | None
    address: str
    shard: str


def placement_options(command: F) -> F:
    """Add the options that select where to compute; none of them changes a number."""
    for option in reversed(
        [
            click.option(
                "--executor",
                type=click.Choice(["local", "ray"]),
                default="local",
                show_default=True,
                help="Compute on this machine, or on a Ray cluster.",
            ),
            click.option(
                "--workers",
                type=click.IntRange(1),
                help="Number of worker processes; by default one per device (local) or per node or GPU (ray).",
            ),
            click.option(
                "--ray-address", default="", metavar="HOST:PORT", help="Ray cluster; by default one is started here."
            ),
            click.option("--shard", default="", metavar="K/N", help="Compute only the K-th of N parts of the grid."),
        ]
    ):
        command = option(command)
    return command


@contextmanager
def make_executor(
    app: Application,
    placement: Placement,
    config: BenchConfig,
    cells: Sequence[Cell],
    runner: Runner,
    progress: Reporter | None,
) -> Iterator[Executor]:
    """Yield the executor that the options select, and stop its workers at the end, even after an error."""
    from faceinv.execution.factory import WorkerFactory
    from faceinv.execution.local import InProcess, Processes

    if placement.address and placement.executor != "ray":
        raise UsageError("--ray-address needs --executor ray.")
    executor: Executor
    make = WorkerFactory.of(app.setup, config, cells)
    if placement.executor == "ray":
        from faceinv.execution.ray_cluster import RayExecutor

        executor = RayExecutor(
            make, out=make.config.out, address=placement.address, workers=placement.workers,
            gpus=runner.loader.device.type == "cuda", progress=progress, say=app.say,
        )  # fmt: skip
    else:
        devices = local_devices(config.device, placement.workers)
        if len(devices) == 1:
            executor = InProcess(runner, cells)
        else:
            executor = Processes(make, devices, progress=progress, say=app.say)
    # Ray reports lost nodes on standard output, which is reserved for results.
    with redirect_stdout(sys.stderr):
        try:
            yield executor
        finally:
            executor.close()


def local_devices(device: str, workers: int | None) -> list[str]:
    """Return the device of each worker: ``cuda`` means every GPU, ``cuda:1`` that one, ``cpu`` one worker."""
    found = 1
    if device == "cuda":
        import torch

        found = max(1, torch.cuda.device_count())
    every = [f"cuda:{index}" for index in range(found)] if device == "cuda" else [device]
    return [every[index % found] for index in range(workers or found)]


def taken(given: dict[str, Any]) -> Placement:
    """Remove the placement's options from ``given`` and return them."""
    names = {"address": "ray_address"}
    return Placement(**{f.name: given.pop(names.get(f.name, f.name)) for f in dataclasses.fields(Placement)})
