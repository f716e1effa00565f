"""A finished run, scored again by a further critic, and that critic alone on the same pictures."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import torch

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.rescoring import Kept, Rescorer, kept_cells
from faceinv.bench.resources import Resources
from faceinv.bench.setup import make_runner
from faceinv.execution.local import InProcess
from faceinv.execution.scheduler import GridRun
from faceinv.models import FramedEncoder
from faceinv.plugins import Host
from faceinv.scoring.pairs import embed_all
from faceinv.storage.run_folder import RunFolder
from faceinv.weights import WeightStore

TARGETS = 64


class Rescored:
    """A run, and its scoring again. Its reconstructions are the regressor's guesses, which take no time to make.

    Args:
        folder: Folder of the run, and of the runs that score it again.
        critic: The further critic.
    """

    def __init__(self, folder: Path, critic: str) -> None:
        host = Host()
        given = {"method": ["regression"], "losses": ["id"], "limit": TARGETS, "metrics": ["id_sim_critic"]}
        config, source = load_config(None, {**given, "critic": ["facenet"], "out": folder / "run"})
        grid = cells(config, host, source)
        runner = make_runner(host, WeightStore(host), config, grid)
        GridRun(runner, grid, InProcess(runner, grid)).run()
        (kept,) = kept_cells(config.out)
        assert isinstance(kept, Kept)
        self._kept = kept
        self._cell = replace(kept.cell, critics=(host.spec("encoder", critic).name,))
        self._folder, self._loader = folder, runner.resources.loader
        framing = self._loader.generator(self._cell.generator).framing
        self._critic = FramedEncoder(self._loader.encoder(critic), framing)
        self._images = torch.cat([torch.cat(pair) for _, *pair in kept.pairs()])
        self._places = (folder / f"again-{k}" for k in itertools.count())

    def rescore(self) -> None:
        """Score all pictures again, from the files to the record, in an empty folder."""
        resources = Resources(self._loader, RunFolder(next(self._places)), cache=self._folder)
        Rescorer(resources).rescore(self._kept, self._cell)

    def critic(self) -> None:
        """Embed all pictures, which are in memory."""
        embed_all(self._critic, self._images)
