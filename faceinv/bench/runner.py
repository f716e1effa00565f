"""Cells to records: what is there is kept, what is missing is computed, what fails is a record too."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from faceinv.attack.engine import invert
from faceinv.attack.objective import prepared_objective
from faceinv.attack.preparation import Preparation
from faceinv.attack.teaching import teach
from faceinv.bench.grid import Cell
from faceinv.bench.judge import Judge
from faceinv.bench.record import failed_record, finished_record, identity_facts
from faceinv.bench.resources import Ingredients, NamedCell
from faceinv.contracts.methods import Inversion, Method
from faceinv.contracts.networks import Generator
from faceinv.contracts.specs import MethodSpec
from faceinv.data.images import rounded, write_image
from faceinv.data.targets import TargetFiles
from faceinv.errors import Failure, StorageError
from faceinv.models.precision import step_networks
from faceinv.plugins.registry import load_target
from faceinv.probes.reader import Reader
from faceinv.storage.hashing import seed_of
from faceinv.storage.parts import Part, Parts, put_together
from faceinv.storage.records import FailedCell, FinishedCell
from faceinv.storage.schema import finite


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
    record: FinishedCell | FailedCell
    cached: bool


class Runner:
    """Computes the cells of a grid into a run folder.

    Args:
        ingredients: Builds what cells are made of, and knows the run folder.
        batch_size: Targets at a time; ``"auto"``: as many as cache and memory hold, and as parts that are there have.
    """

    def __init__(self, ingredients: Ingredients, *, batch_size: int | Literal["auto"] = 32) -> None:
        self.ingredients = ingredients
        self.loader, self.folder = ingredients.loader, ingredients.folder
        self._progress = ingredients.progress
        self._batch_size = batch_size
        self._stepping: dict[tuple[Any, ...], tuple[Generator, Callable[[Tensor], Tensor]]] = {}
        self._batch_sizes: dict[tuple[str, str, str], int] = {}
        #: The last one that was built: the cells of a grid take turns in it, their batches do not.
        self._methods: dict[tuple[Any, ...], Method] = {}
        self._trained_hashes: dict[tuple[Any, ...], str] = {}
        self.judge = Judge(self.loader, ingredients.dataset, progress=ingredients.progress, say=ingredients.say)

    def attack(self, cell: Cell) -> Preparation:
        """Return what is trained for the cell's encoder and generator."""
        return self.ingredients.attack(cell)

    def batch_size(self, cell: Cell, cell_id: str = "") -> int:
        """Return how many of the cell's targets go together; with a name, as parts that are there have it."""
        if self._batch_size != "auto":
            return self._batch_size
        # Shards of one folder agree, even if they are computed by different machines.
        begun = Parts(self.folder, cell_id).described() if cell_id else None
        if begun is not None:
            return begun.batch_size
        key = (cell.encoder, cell.generator, cell.space)
        if key not in self._batch_sizes:
            self._batch_sizes[key] = self.attack(cell).batch_size()
        return self._batch_sizes[key]

    def batches(self, named: NamedCell) -> list[range]:
        """Return the rows of each batch of the cell's targets, in order."""
        n, size = len(self.ingredients.targets(named.cell).ids), self.batch_size(named.cell, named.id)
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def missing(self, named: NamedCell) -> list[range]:
        """Return the batches of a cell that have still to be computed."""
        digest = self.ingredients.targets(named.cell).digest
        parts, due = Parts(self.folder, named.id), (digest, self.batch_size(named.cell, named.id))

        def usable(rows: range) -> bool:
            facts = parts.facts(rows)
            return facts is not None and (facts["targets"], facts["batch_size"]) == due

        return [rows for rows in self.batches(named) if not usable(rows)]

    def failed(self, cell: Cell, named: NamedCell | None, failure: Failure) -> Outcome:
        """Write the record of a cell that failed, before or after it had a name."""
        named = named or NamedCell(cell, cell.id({}, {}), {}, {})
        record = failed_record(named, failure)
        self.folder.write(record)
        return Outcome(cell, named.id, record, cached=False)

    def method(self, cell: Cell) -> Method:
        """Return the cell's method, built, and taught where it learns."""
        key = (id(self.attack(cell)), cell.method, repr(cell.method_options))
        if key not in self._methods:
            spec: MethodSpec = self.loader.host.spec("method", cell.method)
            built: Method = load_target(spec)(**cell.method_options)
            teach(built, spec, self.attack(cell), self.ingredients.cache, self._progress)
            self._methods = {key: built}
        return self._methods[key]

    def prepare(self, cell: Cell) -> None:
        """Train what the cell's method and losses need beforehand, unless that was done before."""
        for name in self._probes_of(cell):
            self.attack(cell).reader(name)
        self._start(cell)
        self.method(cell)

    def _start(self, cell: Cell) -> Reader | None:
        """Return the latent regressor; it is not even trained for a method that declares to need nothing beforehand."""
        spec: MethodSpec = self.loader.host.spec("method", cell.method)
        return None if spec.offline == "none" else self.attack(cell).regressor

    def invert(self, cell: Cell, descriptors: Tensor, names: Sequence[str], label: str = "inverting") -> Inversion:
        """Run the cell's method on descriptors ``(N, D)``.

        Args:
            cell: What to do.
            descriptors: The leaked descriptors.
            names: A name for each target, which its seed is made of.
            label: What progress is reported under.
        """
        total, done = len(descriptors) * cell.steps, 0

        def on_step(count: int) -> None:
            nonlocal done
            done += count
            if self._progress:
                self._progress(f"{label}, {self.budget_unit(cell)}", done, total)

        return self._invert(cell, descriptors, names, on_step, self.batch_size(cell))

    def budget_unit(self, cell: Cell) -> str:
        """Return what the cell's ``steps`` count."""
        return "queries" if self.loader.host.spec("method", cell.method).access == "scores" else "image-steps"

    def _invert(
        self,
        cell: Cell,
        descriptors: Tensor,
        names: Sequence[str],
        on_step: Callable[[int], None] | None,
        batch_size: int,
    ) -> Inversion:
        attack = self.attack(cell)
        spec: MethodSpec = self.loader.host.spec("method", cell.method)
        generator, encode = self._step_networks(cell, min(batch_size, len(descriptors)))
        return invert(
            self.method(cell),
            descriptors.to(self.loader.device, self.loader.dtype),
            encode=encode,
            access=spec.access,
            generator=generator,
            space=cell.space,
            objective=prepared_objective(
                attack, self.ingredients.losses(cell), cell.objective, dict(cell.loss_weights)
            ),
            start=self._start(cell),
            steps=cell.steps,
            # A result depends on the run's seed and the target's name, not on its place.
            seeds=[seed_of(f"{cell.seed} {name}") for name in names],
            name=spec.name,
            batch_size=batch_size,
            on_images=on_step,
        )

    def _step_networks(self, cell: Cell, batch: int) -> tuple[Generator, Callable[[Tensor], Tensor]]:
        attack = self.attack(cell)
        generator = attack.generator.network
        if (cell.precision, cell.compile) == ("fp32", False):
            return generator, attack.encoder
        key = (id(attack), cell.precision, cell.compile)
        if key not in self._stepping:
            rng = torch.Generator(self.loader.device).manual_seed(0)
            example = generator.sample(batch, cell.space, rng).to(self.loader.device, self.loader.dtype)
            self._stepping[key] = step_networks(
                generator,
                attack.encoder,
                precision=cell.precision,
                compiled=cell.compile,
                example=example,
                space=cell.space,
                say=self.ingredients.say,
            )
        return self._stepping[key]

    def compute(
        self,
        named: NamedCell,
        rows: range,
        on_step: Callable[[int], None] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Compute one batch of a cell's targets and leave its part and its pictures in the run folder.

        What is left depends on the cell and on the rows alone: neither on what was computed before, nor on where.

        Args:
            named: The cell.
            rows: One of its :meth:`batches`.
            on_step: Called with the number of image-steps done since the last call.
            batch_size: Size of the batches, as whoever divided the cell chose it; this runner's own by default.
        """
        began = time.perf_counter()
        cell, size = named.cell, batch_size or self.batch_size(named.cell, named.id)
        attack, targets = self.attack(cell), self.ingredients.targets(cell)
        # Trained here so that the time of the inversion is its own.
        self.prepare(cell)
        probes = self._probes_of(cell)
        prepared = time.perf_counter()
        images = targets.images(rows)
        descriptors = self.judge.embed(cell, cell.encoder, images, rows)
        inversion = self._invert(cell, descriptors, [targets.ids[row] for row in rows], on_step, size)
        inverted = time.perf_counter()
        # Scores are taken from the pixels of the files: anyone can repeat them from the PNGs.
        results = rounded(inversion.images)
        pairs = self.judge.pairs(cell, images, results, rows, lambda: attack.conditional_mean(descriptors))
        self._write_images(named.id, targets, rows, inversion.start, results)
        facts = {
            "n": len(rows),
            "targets": targets.digest,
            "batch_size": size,
            "trained": self._trained(cell),
            "queries": inversion.queries,
            "image_steps": inversion.image_steps,
            "queries_sum": round(inversion.queries_mean * len(rows)),
            "image_steps_sum": round(inversion.image_steps_mean * len(rows)),
            "left_out": dict(pairs.left_out),
            "seconds": {
                "prepare": prepared - began,
                "invert": inverted - prepared,
                "score": time.perf_counter() - inverted,
            },
        }
        part = Part(
            targets={name: own.numpy() for name, (own, _) in pairs.descriptors.items()},
            results={name: found.numpy() for name, (_, found) in pairs.descriptors.items()},
            columns={name: np.asarray(values) for name, values in pairs.columns.items()},
            read={name: attack.read(name, descriptors).numpy() for name in probes},
            trajectory={name: series.double().sum(1).numpy() for name, series in inversion.trajectory.items()},
            facts=facts,
        )
        parts = Parts(self.folder, named.id)
        about = {"n": len(targets.ids), "batch_size": size, "targets": targets.digest}
        parts.describe(identity_facts(named) | about)
        parts.write(rows, part)

    def finish(self, named: NamedCell) -> FinishedCell:
        """Put the parts of a cell together, score what takes all of its targets, and write and return the record.

        Raises:
            InputError: a part is missing, or the parts do not belong together.
        """
        with Parts(self.folder, named.id).locked():
            # Of two processes that share the folder, one may have been faster.
            return self.folder.finished(named.id) or self._finish(named)

    def _finish(self, named: NamedCell) -> FinishedCell:
        began = time.perf_counter()
        cell, parts = named.cell, Parts(self.folder, named.id)
        attack, targets = self.attack(cell), self.ingredients.targets(cell)
        whole = put_together([parts.read(rows) for rows in self.batches(named)], f"cell {named.id}")
        if whole.read:
            self.folder.write_attributes(named.id, whole.read)
        scores = self.judge.judge(
            cell,
            targets,
            {name: values.tolist() for name, values in whole.columns.items()},
            {
                name: (torch.from_numpy(own), torch.from_numpy(whole.results[name]))
                for name, own in whole.targets.items()
            },
            whole.facts["left_out"],
        )
        who = {} if targets.identities is None else {"identity": list(targets.identities)}
        values = finite({**scores.columns, **scores.protocol_columns})
        self.folder.write_rows(named.id, {"target": list(targets.ids), **who, **values})
        probes = {name: attack.probe_score(name) for name in self._probes_of(cell)}
        took = time.perf_counter() - began
        record = finished_record(named, self.loader.host, targets, whole, scores, probes, took)
        self.folder.write(record)
        parts.remove()
        return record

    def _trained(self, cell: Cell) -> str:
        """Return a hash of the regressor and the readers that the cell's reconstructions depend on."""
        attack = self.attack(cell)
        key = (id(attack), self._start(cell) is None, *self._probes_of(cell))
        if key not in self._trained_hashes:
            digest = hashlib.sha256()
            start = self._start(cell)
            for reader in (*([start] if start else []), *map(attack.reader, self._probes_of(cell))):
                for name, tensor in sorted(reader.state_dict().items()):
                    digest.update(name.encode() + tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
            self._trained_hashes[key] = digest.hexdigest()[:16]
        return self._trained_hashes[key]

    def _write_images(self, cell_id: str, targets: TargetFiles, rows: range, start: Tensor, results: Tensor) -> None:
        """Write starts and reconstructions, and the targets beside them."""
        folder = self.folder.images_folder(cell_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for place, row in enumerate(rows):
                targets.link(row, folder / f"{row:05d}-target.png")
                write_image(start[place], folder / f"{row:05d}-start.png")
                write_image(results[place], folder / f"{row:05d}.png")
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error

    def _probes_of(self, cell: Cell) -> list[str]:
        return [loss.probe for loss in self.ingredients.losses(cell) if loss.probe]
