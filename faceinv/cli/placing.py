"""Where ``bench`` computes: options, and the executor they mean."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from faceinv.cli.application import Application
from faceinv.errors import UsageError

if TYPE_CHECKING:
    from faceinv.bench.config import BenchConfig
    from faceinv.bench.grid import Cell
    from faceinv.bench.runner import Runner
    from faceinv.contracts.progress import Reporter
    from faceinv.execution.tasks import Executor

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Placement:
    """What the command line says about where to compute.

    Args:
        executor: ``"local"`` or ``"ray"``.
        workers: How many; ``None`` lets the devices decide.
        address: Of a Ray cluster; empty starts one here, or takes ``RAY_ADDRESS``.
        shard: ``k/n``, or empty for the whole grid.
    """

    executor: str
    workers: int | None
    address: str
    shard: str


def placement_options(command: F) -> F:
    """Add the options that say where to compute; none of them changes a number."""
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
                help="Worker processes; one a device (local) or a node without GPUs (ray) by default.",
            ),
            click.option("--ray-address", default="", metavar="HOST:PORT", help="Ray cluster; one is started if none."),
            click.option("--shard", default="", metavar="K/N", help="Compute the K-th of N parts of the grid."),
        ]
    ):
        command = option(command)
    return command


@dataclass(frozen=True)
class WorkerFactory:
    """Makes a worker's runner out of what the command line said; crosses processes and machines.

    Args:
        config: The config, its paths absolute.
        cells: The grid.
        options: What stood before the command.
        environment: Variables that decide what is found where.
    """

    config: BenchConfig
    cells: tuple[Cell, ...]
    options: Mapping[str, Any]
    environment: Mapping[str, str]

    def __call__(self, *, device: str, progress: Reporter | None, say: Callable[[str], None], out: str = "") -> Runner:
        """Return a runner on this device that reports to ``progress`` and ``say``."""
        from faceinv.cli.running import make_runner

        os.environ.update(self.environment)
        app = Application(say)
        app.configure(**self.options)
        changed = {"device": device} | ({"out": Path(out)} if out else {})
        return make_runner(app, self.config.model_copy(update=changed), self.cells, progress)


def worker_factory(app: Application, config: BenchConfig, cells: Sequence[Cell]) -> WorkerFactory:
    """Return the factory of the workers of this call."""
    variables = {name: value for name, value in os.environ.items() if name.startswith("FACEINV_")}
    absolute = config.model_copy(update={"out": config.out.absolute()})
    return WorkerFactory(absolute, tuple(cells), app.options, variables)


@contextmanager
def make_executor(
    app: Application,
    placement: Placement,
    config: BenchConfig,
    cells: Sequence[Cell],
    runner: Runner,
    progress: Reporter | None,
) -> Iterator[Executor]:
    """Yield the executor that the options mean, and stop its workers at the end, however it comes."""
    from faceinv.execution.local import InProcess, Processes

    if placement.address and placement.executor != "ray":
        raise UsageError("--ray-address is for --executor ray.")
    executor: Executor
    if placement.executor == "ray":
        from faceinv.execution.ray_cluster import RayExecutor

        make = worker_factory(app, config, cells)
        executor = RayExecutor(
            make, out=make.config.out, address=placement.address, workers=placement.workers,
            gpus=runner.loader.device.type == "cuda", progress=progress, say=app.say,
        )  # fmt: skip
    else:
        devices = local_devices(config.device, placement.workers)
        if len(devices) == 1:
            executor = InProcess(runner, cells)
        else:
            executor = Processes(worker_factory(app, config, cells), devices, progress=progress, say=app.say)
    # Ray tells of lost nodes on standard output, which is for results.
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
    """Take the placement's options out of what the command line says."""
    names = {"address": "ray_address"}
    return Placement(**{f.name: given.pop(names.get(f.name, f.name)) for f in dataclasses.fields(Placement)})
