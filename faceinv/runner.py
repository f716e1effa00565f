"""Cells to records: what is there is kept, what is missing is computed, what fails is a record too."""

from __future__ import annotations

import hashlib
import json
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceinv.attack import Attack
from faceinv.contracts import Dataset, DatasetContext, Inversion
from faceinv.datasets import open_dataset
from faceinv.engine import invert
from faceinv.errors import FaceinvError, StorageError, WeightsError
from faceinv.grid import TARGETS, Cell, targets_key
from faceinv.images import read_image, write_image
from faceinv.judging import Judge
from faceinv.loading import Loader
from faceinv.progress import Reporter
from faceinv.records import RunFolder, environment, finite
from faceinv.registry import code_hash, core_hash, load_target
from faceinv.scoring import embed_all
from faceinv.seeds import seed_of
from faceinv.specs import DatasetSpec, LossSpec, MethodSpec, Spec
from faceinv.targets import Targets, load_targets, needs_detector
from faceinv.weights import file_sha256


@dataclass(frozen=True)
class Outcome:
    """A cell and its record.

    Args:
        cell: The cell.
        id: Its name.
        record: What is in its JSON file.
        cached: Whether it was there already.
    """

    cell: Cell
    id: str
    record: Mapping[str, Any]
    cached: bool


class Runner:
    """Computes the cells of a grid into a run folder.

    Args:
        loader: Builds networks and plugins.
        folder: The run folder.
        cache: Folder of what is trained.
        batch_size: Targets at a time.
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
        batch_size: int = 32,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
        probes: Sequence[str] = (),
    ) -> None:
        self.loader = loader
        self.folder = folder
        self._cache = cache
        self._batch_size = batch_size
        self._progress = progress
        self._probes = tuple(probes)
        self._attacks: dict[tuple[Any, ...], Attack] = {}
        self._metric_files: dict[str, str] = {}
        self._datasets: dict[tuple[Any, ...], tuple[Dataset, DatasetSpec]] = {}
        self._targets: dict[tuple[Any, ...], Targets] = {}
        self._say = say
        self.judge = Judge(loader, self.dataset, progress=progress, say=say)

    def run(self, cells: list[Cell]) -> list[Outcome]:
        """Compute what is missing of ``cells`` and return a record for each.

        Raises:
            StorageError: the run folder cannot be written; what was computed before is kept.
        """
        return [self._cell(cell, f"cell {number} of {len(cells)}") for number, cell in enumerate(cells, 1)]

    def hashes(self, cell: Cell) -> dict[str, str]:
        """Return the hash of every file that the cell's numbers depend on, by name; of its data set too."""
        hashes: dict[str, str] = {}
        for spec in self._specs(cell):
            hashes |= self.loader.hashes(spec)
        for name in cell.metrics:
            # A metric may be left out for want of its weights: once they are here, the cell is another.
            for file in self.loader.host.spec("metric", name).weights:
                hashes[file] = self._metric_file(file)
        dataset, _ = self.dataset(cell, cell.dataset, cell.limit)
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
        """Return a hash of each module that the cell's numbers come from, by what it is: a change makes new cells."""
        host = self.loader.host
        others = [("method", cell.method), *(("loss", name) for name in cell.losses)]
        others += [("metric", name) for name in cell.metrics]
        specs = [*self._specs(cell), *(host.spec(kind, name) for kind, name in others)]
        return {"faceinv": core_hash()} | {f"{spec.kind} {spec.name}": code_hash(spec) for spec in specs}

    def attack(self, cell: Cell) -> Attack:
        """Return what is trained for the cell's encoder and generator."""
        key = (cell.encoder, cell.generator, cell.space, cell.pairs, cell.probes)
        if key not in self._attacks:
            self._attacks[key] = Attack(
                self.loader,
                cell.encoder,
                cell.generator,
                cell.space,
                pairs=cell.pairs,
                preset=cell.probes,
                folder=self._cache,
                progress=self._progress,
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

    def targets(self, cell: Cell) -> Targets:
        """Return the cell's targets in the generator's framing, as 8-bit files would hold them."""
        key = targets_key(cell)
        if key not in self._targets:
            generator = self.loader.generator(cell.generator)
            dataset, spec = self.dataset(cell, cell.dataset, cell.limit)
            if dataset.skipped:
                name, reason = dataset.skipped[0]
                self._say(f"{cell.dataset}: {len(dataset.skipped)} left out; the first, '{name}': {reason}")
            detector = self.loader.detector(cell.detector) if needs_detector(dataset) else None
            progress = self._progress
            self._targets[key] = load_targets(
                dataset,
                generator.framing,
                limit=cell.limit,
                detector=detector,
                real=spec.real,
                per_person=cell.per_person,
                min_photographs=cell.min_photographs,
                progress=(lambda done, of: progress("loading targets", done, of)) if progress else None,
            )
        return self._targets[key]

    def _cell(self, cell: Cell, label: str) -> Outcome:
        weights: dict[str, str] = {}
        code: dict[str, str] = {}
        try:
            code, weights = self.code(cell), self.hashes(cell)
            cell_id = cell.id(weights, code)
            known = self.folder.finished(cell_id)
            if known:
                return Outcome(cell, cell_id, known, cached=True)
            record = self._compute(cell, cell_id, f"{label}: {cell.method} {','.join(cell.losses)}")
        except StorageError:
            raise
        except Exception as error:
            # The grid goes on: one cell's failure is a result, and the record says whose it is.
            expected = isinstance(error, FaceinvError)
            text = str(error) if expected else f"{type(error).__name__}: {error}"
            record = {"status": "failed", "error": text, "exit_code": getattr(error, "exit_code", 1)}
            if not expected:
                record["traceback"] = traceback.format_exc()
        record = {"config": asdict(cell), "weights": weights, "code": code, "environment": environment()} | record
        cell_id = cell.id(weights, code)
        self.folder.write(cell_id, record)
        return Outcome(cell, cell_id, record, cached=False)

    def invert(self, cell: Cell, descriptors: Tensor, names: Sequence[str], label: str = "inverting") -> Inversion:
        """Run the cell's method on descriptors ``(N, D)``.

        Args:
            cell: What to do.
            descriptors: The leaked descriptors.
            names: A name for each target, which its seed is made of.
            label: What progress is reported under.
        """
        attack = self.attack(cell)
        spec: MethodSpec = self.loader.host.spec("method", cell.method)
        total, done = len(descriptors) * cell.steps, 0

        def on_step(count: int) -> None:
            nonlocal done
            done += count
            if self._progress:
                self._progress(f"{label}, image-steps", done, total)

        return invert(
            load_target(spec)(**cell.method_options),
            descriptors.to(self.loader.device, self.loader.dtype),
            encode=attack.encoder,
            access=spec.access,
            generator=attack.generator.network,
            space=cell.space,
            objective=attack.objective(self._losses(cell), cell.objective, dict(cell.loss_weights)),
            start=attack.regressor,
            steps=cell.steps,
            # A result depends on the run's seed and the target's name, not on its place.
            seeds=[seed_of(f"{cell.seed} {name}") for name in names],
            batch_size=self._batch_size,
            on_step=on_step,
        )

    def _compute(self, cell: Cell, cell_id: str, label: str) -> dict[str, Any]:
        began = time.perf_counter()
        attack, targets = self.attack(cell), self.targets(cell)
        descriptors = embed_all(attack.encoder, targets.images.to(self.loader.device))
        # Trained here so that the time of the inversion is its own.
        probes = [loss.probe for loss in self._losses(cell) if loss.probe]
        attack.prepare(probes)
        prepared = time.perf_counter()
        inversion = self.invert(cell, descriptors, targets.ids, label)
        inverted = time.perf_counter()
        results = self._write_images(cell_id, targets, inversion)
        if probes:
            self.folder.write_attributes(cell_id, {name: attack.read(name, descriptors).numpy() for name in probes})
        scores = self.judge.judge(cell, targets, results)
        who = {} if targets.identities is None else {"identity": list(targets.identities)}
        self.folder.write_rows(cell_id, {"target": list(targets.ids), **who, **finite(dict(scores.columns))})
        scored = time.perf_counter()
        return {
            "status": "ok",
            "n": len(targets.ids),
            "real": targets.real,
            "aligned": targets.aligned,
            "targets": hashlib.sha256(targets.images.numpy().tobytes()).hexdigest()[:16],
            "skipped": [list(item) for item in targets.skipped],
            "warnings": list(cell.warnings),
            "metrics": scores.metrics,
            "recognition": scores.recognition,
            **scores.protocols,
            "left_out": scores.left_out,
            "probes": {loss.probe: asdict(attack.probe_score(loss.probe)) for loss in self._losses(cell) if loss.probe},
            "trajectory": {name: series.mean(1).tolist() for name, series in inversion.trajectory.items()},
            "queries": inversion.queries,
            "seconds": {
                "prepare": round(prepared - began, 3),
                "invert": round(inverted - prepared, 3),
                "score": round(scored - inverted, 3),
            },
        }

    def _write_images(self, cell_id: str, targets: Targets, inversion: Inversion) -> Tensor:
        """Write targets, starts and reconstructions, and return the reconstructions as the files hold them.

        Scores are taken from the files' pixels: anyone can repeat them from the PNGs.
        """
        folder = self.folder.images_folder(cell_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for index in range(len(targets.ids)):
                write_image(targets.images[index], folder / f"{index:05d}-target.png")
                write_image(inversion.start[index], folder / f"{index:05d}-start.png")
                write_image(inversion.images[index], folder / f"{index:05d}.png")
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
        return torch.stack([read_image(folder / f"{index:05d}.png") for index in range(len(targets.ids))])

    def _losses(self, cell: Cell) -> list[LossSpec]:
        return [self.loader.host.spec("loss", name) for name in cell.losses]

    def _specs(self, cell: Cell) -> list[Spec]:
        host = self.loader.host
        probes = [host.spec("probe", loss.probe) for loss in self._losses(cell) if loss.probe]
        return [
            host.spec("encoder", cell.encoder),
            *(host.spec("encoder", name) for name in cell.critics),
            host.spec("generator", cell.generator),
            *probes,
        ]
