"""The phases of a first run of the default chain, one after the other as a run has them."""

from __future__ import annotations

from pathlib import Path

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.naming import probes_of
from faceinv.bench.resources import Resources
from faceinv.bench.runner import Runner
from faceinv.bench.setup import make_loader
from faceinv.execution.local import InProcess
from faceinv.execution.scheduler import GridRun
from faceinv.plugins import Host
from faceinv.report.page import render
from faceinv.report.runs import read_runs
from faceinv.storage.run_folder import RunFolder
from faceinv.weights import WeightStore

PAIRS, TARGETS, STEPS = 1280, 16, 10
#: In the order of a run: each phase finds what the earlier ones made.
PHASES = {
    "targets": f"{TARGETS} targets",
    "pairs": f"{PAIRS:,} pairs, embedded and labelled",
    "training": "two readers and the latent regressor, trained",
    "start": f"{TARGETS} starts",
    "inversion": f"{TARGETS} targets, {STEPS} steps",
    "scoring": f"scores of {TARGETS} pairs, networks loaded",
    "report": f"report of {TARGETS} targets",
}


class FirstRun:
    """A run of the default chain with an empty cache, and its phases as functions."""

    def __init__(self, folder: Path) -> None:
        host = Host()
        config, source = load_config(
            None, {"pairs": PAIRS, "limit": TARGETS, "steps": STEPS, "batch_size": TARGETS, "out": folder / "run"}
        )
        (self.cell,) = cells(config, host, source)
        probes = probes_of(host, self.cell)
        resources = Resources(
            make_loader(host, WeightStore(host)), RunFolder(config.out), cache=folder / "trained", probes=probes
        )
        self.runner, self.host, self.probes = Runner(resources, batch_size=TARGETS), host, probes
        # Networks are loaded and files are hashed before anything is timed.
        self.named, self.preparation = resources.name(self.cell), resources.preparation(self.cell)
        self.rows = range(TARGETS)

    def targets(self) -> None:
        self.runner.resources.targets(self.cell)

    def pairs(self) -> None:
        _ = self.preparation.pairs

    def training(self) -> None:
        self.runner.train(self.cell)

    def start(self) -> None:
        found = self.runner.resources.targets(self.cell)
        self.descriptors = self.runner.judge.embed(self.cell, self.cell.encoder, found.images(self.rows), self.rows)
        assert self.runner._methods.starts(self.cell, self.descriptors) is not None

    def inversion(self) -> None:
        names = list(self.runner.resources.targets(self.cell).ids)
        self.results = self.runner.invert(self.cell, self.descriptors, names).images

    def scoring(self) -> None:
        images = self.runner.resources.targets(self.cell).images(self.rows)
        expected = self.preparation.conditional_mean
        self.runner.judge.pairs(self.cell, images, self.results, self.rows, lambda: expected(self.descriptors))

    def report(self) -> None:
        render(read_runs((self.runner.folder.path,)), host=self.host)

    def record(self) -> None:
        """Write the record that the report is about."""
        GridRun(self.runner, [self.cell], InProcess(self.runner, [self.cell])).run()
