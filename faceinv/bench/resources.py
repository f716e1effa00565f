"""Networks, data sets, targets and preparations of cells, each built once and shared."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.attack.photographs import Photographs
from faceinv.attack.preparation import Preparation
from faceinv.attack.protected import PRIOR, ProtectedSystem
from faceinv.attack.seen import SeenPreparation
from faceinv.bank.subset import Subset
from faceinv.bench import apart, hidden
from faceinv.bench.cell import Cell
from faceinv.bench.config import TARGETS
from faceinv.bench.knowledge import Chunks, PairSource
from faceinv.bench.naming import (
    NamedCell,
    cell_id,
    code_of,
    metrics_of,
    networks_of,
    preparation_key,
    probes_of,
    protection_key,
    protection_of,
    targets_id,
    targets_key,
)
from faceinv.contracts.data import Dataset, DatasetContext
from faceinv.contracts.leaks import parse_leak
from faceinv.contracts.progress import Reporter
from faceinv.contracts.protections import Protection
from faceinv.contracts.specs import DatasetSpec, Spec
from faceinv.data.alignment import needs_detector
from faceinv.data.companions import choose_companions
from faceinv.data.opening import open_dataset
from faceinv.data.targets import Selection, TargetFiles, Targets, choose_targets, target_files
from faceinv.errors import InputError, UntrustedError, WeightsError
from faceinv.models.loader import Loader
from faceinv.plugins.code import codes
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256
from faceinv.storage.run_folder import RunFolder
from faceinv.storage.shipments import Shipment
from faceinv.storage.tensors import TensorCache
from faceinv.weights.trust import Refusals


class Resources:
    """Everything that cells are computed from.

    Args:
        loader: Builds networks and other plugin objects.
        folder: The run folder, which also holds the targets.
        cache: Folder of trained readers, regressors and methods.
        shipments: What plugins ship of them.
        progress: Called with (what, done, of).
        say: Called with remarks.
        probes: Probes that any cell reads.
        leaked: Pixel hashes of photographs that are inverted without being in a data set.
    """

    def __init__(
        self,
        loader: Loader,
        folder: RunFolder,
        *,
        cache: Path,
        shipments: Sequence[Shipment] = (),
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
        probes: Sequence[str] = (),
        leaked: Collection[str] = (),
    ) -> None:
        self.loader = loader
        self.host = loader.host
        self.folder = folder
        self._cache, self._shipments = cache, shipments
        self.progress = progress
        self._say = say
        self._probes = tuple(probes)
        self._leaked = frozenset(leaked)
        self._said: set[str] = set()
        self._named: dict[str, NamedCell] = {}
        self._preparations: dict[tuple[Any, ...], Preparation] = {}
        self._protected: dict[tuple[Any, ...], ProtectedSystem] = {}
        self._missing: set[str] = set()
        self._datasets: dict[tuple[Any, ...], tuple[Dataset, DatasetSpec]] = {}
        self._targets: dict[tuple[Any, ...], TargetFiles] = {}

    def say(self, text: str) -> None:
        """Say a remark, once for all cells."""
        if text not in self._said:
            self._said.add(text)
            self._say(text)

    def name(self, cell: Cell) -> NamedCell:
        """Return the cell with its id; weights are fetched and the data set is opened for that."""
        key = cell_id(cell)
        if key not in self._named:
            self._named[key] = NamedCell(cell, self.weights(cell), code_of(self.host, cell))
        return self._named[key]

    def weights(self, cell: Cell) -> dict[str, str]:
        """Return the hash of every file and data set that the cell's numbers depend on, by name."""
        hashes: dict[str, str] = {}
        refusals = Refusals(asks=self.loader.store.asks)
        for spec in networks_of(self.host, cell):
            with refusals.gathered():
                hashes |= self._hashes(spec, optional=spec.name in cell.optional_critics)
        for metric in metrics_of(self.host, cell):
            # A metric is left out if its weights cannot be fetched; once they can, it is another cell.
            with refusals.gathered():
                hashes |= self._hashes(metric, optional=True)
        refusals.end()
        dataset, _ = self.dataset(cell)
        used = [dataset]
        hashes["data set"] = dataset.fingerprint()
        learnt = hidden.annotation(self.host, cell, dataset)
        if learnt:
            hashes[f"labels of {learnt}"] = hidden.annotation_hash(dataset, learnt)
        if cell.labels:
            hashes["labels"] = file_sha256(cell.labels)
        other = self.recognition_dataset(cell)
        if other:
            used.append(other[0])
            hashes["recognition data set"] = other[0].fingerprint()
        photographs = self.probe_data(cell)
        if photographs is not None:
            used.append(photographs)
            hashes["probe data"] = photographs.fingerprint()
        if any(needs_detector(item) for item in used):
            hashes |= self.loader.hashes(self.host.spec("detector", cell.detector))
        return hashes

    def _hashes(self, spec: Spec, *, optional: bool) -> dict[str, str]:
        """Return the SHA-256 of each weights file of a spec; of an ``optional`` one, perhaps ``"not here"``."""
        if optional and spec.name in self._missing:
            return dict.fromkeys(spec.weights, "not here")
        try:
            return self.loader.hashes(spec)
        except WeightsError as error:
            if not optional or isinstance(error, UntrustedError):
                raise
            self._missing.add(spec.name)
            return dict.fromkeys(spec.weights, "not here")

    def preparation(self, cell: Cell) -> Preparation:
        """Return the attacker's preparation for the cell's encoder and generator."""
        key = preparation_key(cell)
        if key not in self._preparations:
            given: dict[str, Any] = {
                "loader": self.loader,
                "encoder": cell.steering,
                "generator": cell.generator,
                "space": cell.space,
                "pairs": cell.pairs,
                "preset": cell.probes,
                "cache": TensorCache(self._cache, self.say, self._shipments),
                "progress": self.progress,
                "probes": self._probes,
                "photographs": self._photographs(cell),
            }
            leak = parse_leak(cell.part, self.host.spec("encoder", cell.encoder).dim) if cell.part else None
            if leak:
                whole = self.preparation(replace(cell, leak=""))
                self._preparations[key] = SeenPreparation(whole, leak, **given)
            else:
                self._preparations[key] = Preparation(**given)
            self._say_remarks(cell)
        return self._preparations[key]

    def protected(self, cell: Cell) -> ProtectedSystem:
        """Return the system that stores the cell's descriptors as templates, and the attacker's view of it."""
        key = protection_key(cell)
        if key not in self._protected:
            (spec,) = protection_of(self.host, cell)
            samples = self.samples(cell, PRIOR)

            def prior() -> Tensor:
                return nn.functional.normalize(samples.pairs.descriptors)

            context = hidden.context_of(self, cell, samples)
            built: Protection = self.host.build(spec, context, **cell.protection_options)
            self._protected[key] = ProtectedSystem(
                spec, built, seed=cell.seed, threat=cell.threat, prior=prior
            )  # fmt: skip
        return self._protected[key]

    def samples(self, cell: Cell, most: int, encoder: str = "") -> Preparation:
        """Return a preparation with few pairs, of an encoder: by default the one that leaked."""
        return Preparation(
            self.loader,
            encoder or cell.encoder,
            cell.generator,
            cell.space,
            pairs=min(cell.pairs, most),
            preset=cell.probes,
            cache=TensorCache(self._cache, self.say, self._shipments),
            progress=self.progress,
        )

    def knowledge_pairs(self, cell: Cell) -> Chunks:
        """Yield descriptors of the same images by the encoder that leaked and by the surrogate.

        Raises:
            InputError: if the targets' people cannot be told from others.
        """
        dataset, spec = self.dataset(cell)
        cache = TensorCache(self._cache, self.say)
        source = PairSource(self.loader, cell, cache, lambda: self.loader.detector(cell.detector))
        if not spec.real:
            return source.of_samples()
        if dataset.identities is None:
            raise InputError(
                f"--knowledge: {cell.dataset} names no people, so photographs of a target's person could not be left "
                "out of the attacker's pairs. Give each person a sub-folder."
            )
        return source.of_photographs(dataset, self.targets(cell))

    def companions(self, cell: Cell) -> TargetFiles:
        """Return the further photographs whose descriptors leaked, target by target, as files of the run."""
        key = (*targets_key(cell), cell.leaked_per_person)
        if key not in self._targets:
            further, targets = cell.leaked_per_person - 1, self.targets(cell)
            dataset, framing = self.dataset(cell)[0], self.loader.generator(cell.generator).framing
            detector = self.loader.detector(cell.detector) if needs_detector(dataset) else None
            folder = self.folder.path / "targets" / f"{self._targets_id(cell)}-further-{further}"

            def choose(keep: Callable[[Tensor], None]) -> Targets:
                return choose_companions(dataset, targets, framing, further, keep, detector=detector)

            self._targets[key] = target_files(folder, choose, self.say)
        return self._targets[key]

    def leaked_too(self, cell: Cell) -> list[tuple[str, ...]]:
        """Return of each target the further photographs whose descriptors leaked; nothing if none did."""
        further = cell.leaked_per_person - 1
        if not further:
            return []
        ids = self.companions(cell).ids
        return [ids[first : first + further] for first in range(0, len(ids), further)]

    def probe_data(self, cell: Cell) -> Dataset | None:
        """Return the photographs that probes learn from, opened; ``None`` if they learn from samples.

        Raises:
            InputError: if targets come from them and it is not known who is in them.
        """
        if not cell.probe_data:
            return None
        opened, _ = self._opened(cell, cell.probe_data, cell.probe_data_limit or None)
        source, spec = self.dataset(cell)
        if spec.real:
            apart.check_people(opened, cell.probe_data, source)
        return Subset(opened, cell.probe_data_limit) if cell.probe_data_limit else opened

    def _photographs(self, cell: Cell) -> Photographs | None:
        dataset = self.probe_data(cell)
        if dataset is None:
            return None
        return Photographs(
            self.loader,
            dataset,
            cell.probe_data,
            self._apart(cell, dataset),
            framing=self.loader.generator(cell.generator).framing,
            encoder=self.host.spec("encoder", cell.steering),
            probes=self._probes,
            detector=cell.detector,
            folder=cache_folder() / "banks",
            progress=self.progress,
        )

    def _apart(self, cell: Cell, photographs: Dataset) -> Tensor:
        """Return which photographs ``(N,)`` show a target of the cell or a target's person."""
        (source, spec), hashes = self.dataset(cell), self._leaked
        found = torch.zeros(len(photographs.ids), dtype=torch.bool)
        if spec.real:
            targets = self.targets(cell)
            found = apart.of_people(photographs, targets)
            if cell.probe_data != cell.dataset:
                hashes |= apart.hashes_of(source, targets)
        if hashes:
            made_of = {"images": photographs.fingerprint(), "ids": list(photographs.ids)}
            keep = partial(TensorCache(self._cache, self.say).load_or_make, "image hashes", made_of)
            found |= apart.of_hashes(photographs, hashes, keep, self.progress)
        return found

    def _say_remarks(self, cell: Cell) -> None:
        """Say, once for each generator, which of the cell's probes are measured by what was made for other images."""
        framing = self.loader.generator(cell.generator).framing
        for name in probes_of(self.host, cell):
            for remark in self.loader.probe(name, framing).remarks:
                self.say(remark)

    def dataset(self, cell: Cell) -> tuple[Dataset, DatasetSpec]:
        """Return the data set of the cell's targets, opened, and its spec."""
        return self._opened(cell, cell.dataset, cell.counted)

    def recognition_dataset(self, cell: Cell) -> tuple[Dataset, DatasetSpec] | None:
        """Return the data set that thresholds are measured on, and its spec; ``None`` if that is the targets' own."""
        if cell.recognition == TARGETS:
            return None
        return self._opened(cell, cell.recognition, cell.recognition_limit)

    def _opened(self, cell: Cell, given: str, limit: int | None) -> tuple[Dataset, DatasetSpec]:
        # Labels and options belong to the targets' data set; another one has none.
        labels, options = (cell.labels, cell.dataset_options) if given == cell.dataset else ("", {})
        key = (cell.generator, cell.space, given, json.dumps(options, sort_keys=True), labels, limit, cell.seed)
        if key not in self._datasets:
            generator = self.loader.generator(cell.generator)
            context = DatasetContext(
                generator.network, generator.framing, cell.space, cell.seed, limit, Path(labels) if labels else None
            )
            self._datasets[key] = open_dataset(self.host, given, context, options, files=self.loader.paths)
        return self._datasets[key]

    def targets(self, cell: Cell) -> TargetFiles:
        """Return the cell's targets in the generator's framing, as files of the run; choose them on first use."""
        key = targets_key(cell)
        if key not in self._targets:
            dataset, _ = self.dataset(cell)
            if dataset.skipped:
                name, reason = dataset.skipped[0]
                self.say(f"{cell.dataset}: {len(dataset.skipped)} images skipped, the first being '{name}': {reason}")
            folder = self.folder.path / "targets" / self._targets_id(cell)
            self._targets[key] = target_files(folder, lambda keep: self._choose(cell, keep), self.say)
        return self._targets[key]

    def _choose(self, cell: Cell, keep: Callable[[Tensor], None]) -> Targets:
        progress = self.progress
        dataset, spec = self.dataset(cell)
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

    def _targets_id(self, cell: Cell) -> str:
        dataset, spec = self.dataset(cell)
        specs: list[Spec] = [self.host.spec("generator", cell.generator)]
        if needs_detector(dataset):
            specs.append(self.host.spec("detector", cell.detector))
        specs.append(spec)
        weights = {name: value for item in specs for name, value in self.loader.hashes(item).items()}
        return targets_id(cell, dataset.fingerprint(), weights, codes(self.host, specs))
