"""Compute the batches of cells, and join them into records; reuse what exists and record failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from faceinv.attack.preparation import Preparation
from faceinv.attack.scale import at_likely_length
from faceinv.attack.shares import LossShare, loss_shares
from faceinv.bench.answers import Answers, answers_facts, without_answers
from faceinv.bench.cell import Cell
from faceinv.bench.judge import Judge, Judgement
from faceinv.bench.leaks import LEAK_COLUMNS, Leaks, leak_facts
from faceinv.bench.methods import Methods
from faceinv.bench.naming import NamedCell, metrics_of, preparation_key, probes_of
from faceinv.bench.protection import LEAKED, RECOVERED, attack_facts, people_of, protection_facts
from faceinv.bench.record import failed_record, finished_record, identity_facts
from faceinv.bench.resources import Resources
from faceinv.contracts.methods import Inversion
from faceinv.contracts.protections import Recovered
from faceinv.data.images import rounded, write_image
from faceinv.data.targets import TargetFiles
from faceinv.errors import Failure, StorageError
from faceinv.storage.hashing import file_sha256
from faceinv.storage.parts import Part, Parts, put_together
from faceinv.storage.records import FailedCell, FinishedCell
from faceinv.storage.schema import finite


@dataclass(frozen=True)
class Outcome:
    """A cell and its record.

    Args:
        cell: The cell.
        id: Its id.
        record: Content of its JSON file.
        cached: True if it existed before the run.
    """

    cell: Cell
    id: str
    record: FinishedCell | FailedCell
    cached: bool


class Runner:
    """Computes the cells of a grid into a run folder.

    Args:
        resources: Everything that cells are computed from, and the run folder.
        batch_size: Targets per batch. ``"auto"`` takes as many as cache and memory hold, or the size of existing parts.
        cuda_graph: Replay the networks of a step from a CUDA graph.
    """

    def __init__(
        self, resources: Resources, *, batch_size: int | Literal["auto"] = 32, cuda_graph: bool = False
    ) -> None:
        self.resources = resources
        self.loader, self.folder = resources.loader, resources.folder
        self.judge = Judge(self.loader, progress=resources.progress, say=resources.say)
        self._methods = Methods(resources, cuda_graph=cuda_graph)
        self._leaks = Leaks(resources, self.judge)
        self._answers = Answers(resources, self.judge, self._methods)
        self._progress, self._say = resources.progress, resources.say
        self._batch_size = batch_size
        self._batch_sizes: dict[tuple[Any, ...], int] = {}

    def preparation(self, cell: Cell) -> Preparation:
        """Return the attacker's preparation for the cell's encoder and generator."""
        return self.resources.preparation(cell)

    def prepare(self, cell: Cell) -> None:
        """Train everything that the cell's method and losses need, unless it is in the cache."""
        self._methods.prepare(cell)

    def train(self, cell: Cell) -> None:
        """Train everything that a run of the cell reads, the scores' part included, unless it is in the cache."""
        self.prepare(cell)
        self._methods.objective(cell)
        preparation = self.preparation(cell)
        for name in probes_of(self.resources.host, cell):
            preparation.probe_score(name)
        if any(metric.ceiling for metric in metrics_of(self.resources.host, cell)):
            _ = preparation.conditional_mean

    def batch_size(self, cell: Cell, cell_id: str = "") -> int:
        """Return the number of targets per batch; with an id, that of existing parts under ``"auto"``."""
        if self._batch_size != "auto":
            return self._batch_size
        # Shards in one folder must agree, even if different machines compute them.
        begun = Parts(self.folder, cell_id).described() if cell_id else None
        if begun is not None:
            return begun.batch_size
        key = preparation_key(cell)
        if key not in self._batch_sizes:
            self._batch_sizes[key] = self.preparation(cell).batch_size()
        return self._batch_sizes[key]

    def batches(self, named: NamedCell) -> list[range]:
        """Return the rows of each batch of the cell's targets, in order."""
        n, size = len(self.resources.targets(named.cell).ids), self.batch_size(named.cell, named.id)
        return [range(first, min(first + size, n)) for first in range(0, n, size)]

    def missing(self, named: NamedCell) -> list[range]:
        """Return the batches of a cell that still have to be computed."""
        digest = self.resources.targets(named.cell).digest
        parts, expected = Parts(self.folder, named.id), (digest, self.batch_size(named.cell, named.id))

        def usable(rows: range) -> bool:
            part = parts.found(rows, self._say)
            return part is not None and (part.facts["targets"], part.facts["batch_size"]) == expected

        return [rows for rows in self.batches(named) if not usable(rows)]

    def finished(self, named: NamedCell, *, aloud: bool = False) -> FinishedCell | None:
        """Return the record of a cell if it is finished, and remove parts that a killed process left there.

        Args:
            named: The cell.
            aloud: Report a record or file that is not as it was written, and so counts as missing.
        """
        known = self.folder.finished(named.id, *([self._say] if aloud else []))
        if known:
            Parts(self.folder, named.id).remove()
        return known

    def failed(self, cell: Cell, named: NamedCell | None, failure: Failure) -> Outcome:
        """Write the record of a cell that failed; without hashes if it failed before it was named.

        A finished record stays: another process may have written it, and it is worth more than the failure.
        """
        named = named or NamedCell(cell, {}, {})
        with Parts(self.folder, named.id).locked():
            known = self.finished(named)
            record = failed_record(named, failure)
            if not known and not isinstance(self.folder.read(named.id), FinishedCell):
                self.folder.write(record)
        return Outcome(cell, named.id, known or record, cached=False)

    def budget_unit(self, cell: Cell) -> str:
        """Return the unit of the cell's ``steps``."""
        return "queries" if self._methods.spec(cell).access == "scores" else "image-steps"

    def invert(
        self,
        cell: Cell,
        descriptors: Tensor,
        names: Sequence[str],
        label: str = "inverting",
        templates: Tensor | None = None,
    ) -> Inversion:
        """Run the cell's method on descriptors ``(N, D)``.

        Args:
            cell: The cell.
            descriptors: The leaked descriptors.
            names: Name of each target; its random seed depends on it.
            label: Label of the progress.
            templates: All leaked descriptors of each person ``(N, K, D)``, if the objectives of all are added up.
        """
        total, done = len(descriptors) * cell.steps, 0

        def on_step(count: int) -> None:
            nonlocal done
            done += count
            if self._progress:
                self._progress(f"{label}, {self.budget_unit(cell)}", done, total)

        size = self.batch_size(cell)
        return self._methods.invert(cell, descriptors, names, size, on_step, templates=templates)

    def shares(self, cell: Cell, trajectory: Mapping[str, Sequence[float]]) -> dict[str, LossShare]:
        """Return the weighted share of each loss in a trajectory of the cell's method."""
        return loss_shares(self._methods.objective(cell).weights, trajectory) if trajectory else {}

    def learned(self, cell: Cell) -> dict[str, Any]:
        """Return the facts of a record about what the cell's method and losses learned from pairs."""
        return {"learned": self._methods.origins(cell), "learned_hash": self._methods.trained_hash(cell)}

    def compute(
        self,
        named: NamedCell,
        rows: range,
        on_step: Callable[[int], None] | None = None,
        batch_size: int | None = None,
    ) -> None:
        """Compute one batch of a cell's targets; write its part and its images to the run folder.

        The result depends only on the cell and the rows, not on what was computed before, nor on where. Nothing is
        computed or written if another process has finished the cell.

        Args:
            named: The cell.
            rows: One of its :meth:`batches`.
            on_step: Called with the number of image-steps since the last call.
            batch_size: Size of the cell's batches; by default this runner's own.
        """
        if self.finished(named):
            return
        began = time.perf_counter()
        cell, size = named.cell, batch_size or self.batch_size(named.cell, named.id)
        preparation, targets = self.preparation(cell), self.resources.targets(cell)
        # Train first, so that the time of the inversion does not include it.
        self._methods.prepare(cell)
        prepared = time.perf_counter()
        images = targets.images(rows)
        known, recovering = self._leaks.known(cell, targets, rows, images), 0.0
        people = [people_of(targets)[row] for row in rows]
        recovered, descriptors = self.recovered(cell, known.descriptors, people), known.descriptors
        if recovered:
            descriptors, recovering = recovered.descriptors, time.perf_counter() - prepared
        self._show_starts(named, targets, rows, self._methods.starts(cell, descriptors))
        names = [targets.ids[row] for row in rows]
        inversion = self._methods.invert(cell, descriptors, names, size, on_step, templates=known.templates)
        several = self._answers.several(cell, replace(known, descriptors=descriptors), names, images, inversion)
        inverted = time.perf_counter()
        # Score the pixels as written, in the order of a picture that is read: the PNGs give the same scores to the bit.
        results = rounded(inversion.images).contiguous()
        pairs = self.judge.pairs(cell, images, results, rows, lambda: preparation.conditional_mean(descriptors))
        facts = {
            "n": len(rows),
            "targets": targets.digest,
            "batch_size": size,
            **self.learned(cell),
            "queries": inversion.queries,
            "image_steps": inversion.image_steps,
            "queries_sum": round(inversion.queries_mean * len(rows)),
            "image_steps_sum": round(inversion.image_steps_mean * len(rows)),
            "left_out": dict(pairs.left_out),
            **(attack_facts(recovered) if recovered else {}),
            **known.facts,
            "seconds": {
                "prepare": prepared - began,
                **({"recover": recovering} if recovered else {}),
                "invert": inverted - prepared - recovering,
                "score": time.perf_counter() - inverted,
            },
        }
        probes = probes_of(self.resources.host, cell)
        part = Part(
            targets={name: own.numpy() for name, (own, _) in pairs.descriptors.items()},
            results={name: found.numpy() for name, (_, found) in pairs.descriptors.items()},
            columns={name: np.asarray(values) for name, values in {**pairs.columns, **known.columns}.items()},
            read={name: preparation.read(name, descriptors).numpy() for name in probes}
            | ({LEAKED: known.descriptors.numpy(), RECOVERED: descriptors.numpy()} if recovered else {})
            | (dict(several.arrays) if several else {}),
            trajectory={name: series.double().sum(1).numpy() for name, series in inversion.trajectory.items()},
            facts=facts,
        )
        parts = Parts(self.folder, named.id)
        about = {"n": len(targets.ids), "batch_size": size, "targets": targets.digest}
        with parts.locked():
            if self.finished(named):
                return
            pictures = {"": results, **(several.pictures if several else {})}
            digests = self._write_images(named.id, targets, rows, inversion.start, pictures)
            parts.describe(identity_facts(named) | about)
            parts.write(rows, replace(part, facts={**part.facts, "digests": digests}))

    def recovered(self, cell: Cell, descriptors: Tensor, people: Sequence[str]) -> Recovered | None:
        """Return what an attacker recovers of descriptors that are stored as templates; ``None`` if they are not.

        Args:
            cell: The cell, for its protection.
            descriptors: What is protected ``(N, D)``.
            people: The person behind each; keys depend on it.
        """
        if not cell.protection:
            return None
        system = self.resources.protected(cell)
        issued = [system.store(descriptors, people, number) for number in range(cell.issued)]
        found = system.recover(issued, people)
        return replace(found, descriptors=at_likely_length(found.descriptors, self.preparation(cell)))

    def finish(self, named: NamedCell) -> FinishedCell:
        """Join the parts of a cell, compute the scores that need all targets, write the record and return it.

        Raises:
            InputError: if a part is missing, or the parts do not belong together.
        """
        with Parts(self.folder, named.id).locked():
            # Another process that shares the folder may have been faster.
            return self.finished(named) or self._finish(named)

    def _finish(self, named: NamedCell) -> FinishedCell:
        began = time.perf_counter()
        self._told("scoring", 0)
        cell, parts = named.cell, Parts(self.folder, named.id)
        preparation, targets = self.preparation(cell), self.resources.targets(cell)
        whole = put_together([parts.read(rows) for rows in self.batches(named)], f"cell {named.id}")
        digests = dict(whole.facts["digests"])
        if whole.read:
            digests |= self.folder.write_attributes(named.id, without_answers(whole.read))
        scores = self.judge.judge(
            cell,
            targets,
            {name: values.tolist() for name, values in whole.columns.items()},
            {
                name: (torch.from_numpy(own), torch.from_numpy(whole.results[name]))
                for name, own in whole.targets.items()
            },
            whole.facts["left_out"],
            dataset=self.resources.dataset(cell)[0],
            recognition=self.resources.recognition_dataset(cell),
            leaked=self.resources.leaked_too(cell),
        )
        people = {} if targets.identities is None else {"identity": list(targets.identities)}
        kept = {name: whole.columns[name].tolist() for name in LEAK_COLUMNS if name in whole.columns}
        values = finite({**scores.columns, **scores.protocol_columns, **kept})
        digests |= self.folder.write_rows(named.id, {"target": list(targets.ids), **people, **values})
        probes = {name: preparation.probe_score(name) for name in probes_of(self.resources.host, cell)}
        shares = self.shares(cell, {name: series.tolist() for name, series in whole.trajectory.items()})
        took = time.perf_counter() - began
        record = finished_record(named, self.resources.host, targets, whole, scores, probes, shares, took)
        if cell.protection:
            record = self._with_protection(record, cell, targets, whole, scores)
        facts = {"leak": leak_facts(cell, whole), "answers": answers_facts(cell, targets, whole, scores)}
        record = self.folder.write(record.model_copy(update={"digests": digests, **facts}))
        parts.remove()
        self._told("scoring", 1)
        return record

    def _with_protection(
        self, record: FinishedCell, cell: Cell, targets: TargetFiles, whole: Part, scores: Judgement
    ) -> FinishedCell:
        """Return the record with the block on the cell's protection."""
        leaked, recovered = (torch.from_numpy(whole.read[name]) for name in (LEAKED, RECOVERED))
        system = self.resources.protected(cell)
        block, took = protection_facts(system, cell, targets, leaked, recovered, whole.facts, scores.judged)
        seconds = {"recover": round(whole.facts["seconds"]["recover"], 3), "protect": took}
        content = record.as_json()
        return FinishedCell.of(
            record.id, content | {"protection": block, "seconds": content["seconds"] | seconds}
        )  # fmt: skip

    def _told(self, what: str, done: int) -> None:
        if self._progress:
            self._progress(what, done, 1)

    def _show_starts(self, named: NamedCell, targets: TargetFiles, rows: range, starts: Tensor | None) -> None:
        """Write targets and starts of a batch that is about to be computed, for people who wait for its pictures."""
        parts = Parts(self.folder, named.id)
        with parts.locked():
            # A process that shares the folder may have computed the batch: then its pictures stay.
            if starts is not None and not parts.part_path(rows).exists() and not self.finished(named):
                self._write_images(named.id, targets, rows, starts)

    def _write_images(
        self,
        cell_id: str,
        targets: TargetFiles,
        rows: range,
        start: Tensor,
        results: Mapping[str, Tensor] | None = None,
    ) -> dict[str, str]:
        """Write starts and results, with their targets next to them; return the SHA-256 of each file.

        Args:
            cell_id: Id of the cell.
            targets: Its targets.
            rows: Some of them.
            start: Their starts.
            results: Reconstructions and other pictures, by the suffix of the file's name.
        """
        written = {"-start": start, **(results or {})}
        folder = self.folder.images_folder(cell_id)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for place, row in enumerate(rows):
                targets.link(row, folder / f"{row:05d}-target.png")
                for what, images in written.items():
                    write_image(images[place], folder / f"{row:05d}{what}.png")
            names = [f"{row:05d}{what}.png" for row in rows for what in ("-target", *written)]
            return {name: file_sha256(folder / name) for name in names}
        except OSError as error:
            raise StorageError(f"{folder}: cannot be written: {error.strerror or error}.") from error
