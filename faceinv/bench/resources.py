"""What cells are made of: networks, data sets, targets and trained readers, each once, and names by content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.bench.config import TARGETS
from faceinv.bench.grid import Cell, targets_key
from faceinv.bench.naming import code_of, losses_of, networks_of
from faceinv.contracts.data import Dataset, DatasetContext
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import DatasetSpec, LossSpec, Spec
from faceinv.data.alignment import needs_detector
from faceinv.data.opening import open_dataset
from faceinv.data.targets import Selection, TargetFiles, Targets, choose_targets, target_files
from faceinv.errors import WeightsError
from faceinv.models.loader import Loader
from faceinv.plugins.code import code_hash, core_hash
from faceinv.storage.hashing import file_sha256
from faceinv.storage.run_folder import RunFolder


@dataclass(frozen=True)
class NamedCell:
    """A cell and its name.

    Args:
        cell: The cell.
        id: Its name.
        weights: Hash of every file and data set that its numbers depend on, by name.
        code: Hash of each module that they come from, by what it is.
    """

    cell: Cell
    id: str
    weights: Mapping[str, str]
    code: Mapping[str, str]


class Ingredients:
    """Builds what cells need, and shares it between them.

    Args:
        loader: Builds networks and plugins.
        folder: The run folder, where targets are kept.
        cache: Folder of what is trained.
        progress: Called with (what, done, of).
        say: Called with remarks.
        probes: Probes that any cell reads.
    """

    def __init__(
        self,
        loader: Loader,
        folder: RunFolder,
        *,
        cache: Path,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
        probes: Sequence[str] = (),
    ) -> None:
        self.loader = loader
        self.folder = folder
        self.cache = cache
        self.progress = progress
        self.say = say
        self._probes = tuple(probes)
        self._attacks: dict[tuple[Any, ...], Preparation] = {}
        self._metric_files: dict[str, str] = {}
        self._datasets: dict[tuple[Any, ...], tuple[Dataset, DatasetSpec]] = {}
        self._targets: dict[tuple[Any, ...], TargetFiles] = {}

    def name(self, cell: Cell) -> NamedCell:
        """Return the cell with its name, and with the hashes that the name is made of."""
        code, weights = self.code(cell), self.hashes(cell)
        return NamedCell(cell, cell.id(weights, code), weights, code)

    def hashes(self, cell: Cell) -> dict[str, str]:
        """Return the hash of every file that the cell's numbers depend on, by name; of its data set too."""
        hashes: dict[str, str] = {}
        for spec in networks_of(self.loader.host, cell):
            hashes |= self.loader.hashes(spec)
        for name in cell.metrics:
            # A metric may be left out for want of its weights: once they are here, the cell is another.
            for file in self.loader.host.spec("metric", name).weights:
                hashes[file] = self._metric_file(file)
        dataset, _ = self.dataset(cell, cell.dataset, cell.counted)
        used = [dataset]
        hashes["data set"] = dataset.fingerprint()
        if cell.labels:
            hashes["labels"] = file_sha256(cell.labels)
        if cell.recognition != TARGETS:
            other, _ = self.dataset(cell, cell.recognition, cell.recognition_limit)
            used.append(other)
            hashes["recognition data set"] = other.fingerprint()
        if any(needs_detector(item) for item in used):
            hashes |= self.loader.hashes(self.loader.host.spec("detector", cell.detector))
        return hashes

    def _metric_file(self, file: str) -> str:
        """Return the SHA-256 of a metric's weights, fetched now so that the name tells what was there, or a remark."""
        if file not in self._metric_files:
            try:
                self.loader.store.path(file)
                self._metric_files[file] = self.loader.store.sha256(file)
            except WeightsError:
                self._metric_files[file] = "not here"
        return self._metric_files[file]

    def code(self, cell: Cell) -> dict[str, str]:
        """Return a hash of each module that the cell's numbers come from, by what it is."""
        return code_of(self.loader.host, cell)

    def attack(self, cell: Cell) -> Preparation:
        """Return what is trained for the cell's encoder and generator."""
        key = (cell.encoder, cell.generator, cell.space, cell.pairs, cell.probes)
        if key not in self._attacks:
            self._attacks[key] = Preparation(
                self.loader,
                cell.encoder,
                cell.generator,
                cell.space,
                pairs=cell.pairs,
                preset=cell.probes,
                folder=self.cache,
                progress=self.progress,
                probes=self._probes,
            )
        return self._attacks[key]

    def dataset(self, cell: Cell, given: str, limit: int) -> tuple[Dataset, DatasetSpec]:
        """Return the data set ``NAME[:PATH]`` for the cell, not yet loaded, and its spec."""
        # Labels and options are the target data set's; another one is taken as it comes.
        own = given == cell.dataset
        labels, options = (cell.labels, cell.dataset_options) if own else ("", {})
        key = (cell.generator, cell.space, given, json.dumps(options, sort_keys=True), labels, limit, cell.seed)
        if key not in self._datasets:
            generator = self.loader.generator(cell.generator)
            context = DatasetContext(
                generator.network, generator.framing, cell.space, cell.seed, limit, Path(labels) if labels else None
            )
            self._datasets[key] = open_dataset(self.loader.host, given, context, options)
        return self._datasets[key]

    def targets(self, cell: Cell) -> TargetFiles:
        """Return the cell's targets in the generator's framing, as files of the run; they are chosen at need."""
        key = targets_key(cell)
        if key not in self._targets:
            dataset, spec = self.dataset(cell, cell.dataset, cell.counted)

            def choose(keep: Callable[[Tensor], None]) -> Targets:
                progress = self.progress
                return choose_targets(
                    dataset,
                    self.loader.generator(cell.generator).framing,
                    Selection(
                        limit=cell.limit,
                        per_person=cell.per_person,
                        min_photographs=cell.min_photographs,
                        skip=cell.skip,
                    ),
                    keep,
                    real=spec.real,
                    detector=self.loader.detector(cell.detector) if needs_detector(dataset) else None,
                    progress=(lambda done, of: progress("loading targets", done, of)) if progress else None,
                )

            if dataset.skipped:
                name, reason = dataset.skipped[0]
                self.say(f"{cell.dataset}: {len(dataset.skipped)} left out; the first, '{name}': {reason}")
            self._targets[key] = target_files(self.folder.path / "targets" / self._targets_name(cell), choose)
        return self._targets[key]

    def _targets_name(self, cell: Cell) -> str:
        """Return a hash of all that decides which images the targets are."""
        host = self.loader.host
        specs: list[Spec] = [host.spec("generator", cell.generator), host.spec("detector", cell.detector)]
        dataset, spec = self.dataset(cell, cell.dataset, cell.counted)
        specs = [*(specs if needs_detector(dataset) else specs[:1]), spec]
        hashes = {name: value for item in specs for name, value in self.loader.hashes(item).items()}
        code = {f"{item.kind} {item.name}": code_hash(item) for item in specs}
        parts = [targets_key(cell), dataset.fingerprint(), hashes, code, core_hash()]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    def losses(self, cell: Cell) -> list[LossSpec]:
        """Return the cell's losses."""
        return losses_of(self.loader.host, cell)
