"""Section 3 of the paper: what can be read from the descriptors of photographs, beside guessing and looking."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.audit.attributes import Attribute, choose_attributes
from faceinv.audit.bank import PORTRAIT, Bank, clean_part, open_bank
from faceinv.audit.image_reader import CROP, ImageRecipe, ImageTask, read_images
from faceinv.audit.rows import Reading, score_attribute
from faceinv.audit.settings import RECIPES, AuditSettings, Subset, deciding
from faceinv.contracts.data import Dataset
from faceinv.contracts.probes import DerivedProbe, Recipe
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import DatasetSpec, EncoderSpec, Spec
from faceinv.data.alignment import aligner
from faceinv.data.splits import hashed_splits
from faceinv.errors import InputError, UsageError
from faceinv.models.loader import Loader
from faceinv.plugins.code import code_hash, core_hash
from faceinv.probes.reader import Reader, TunedHead
from faceinv.probes.recipe import TUNED
from faceinv.probes.training import Parts, Task, train_heads
from faceinv.storage.hashing import fingerprint
from faceinv.storage.probe_folder import ProbeFolder
from faceinv.storage.records import ProbeRecord
from faceinv.storage.run_folder import environment
from faceinv.storage.tensors import load_or_make

#: Changes when the same settings give other numbers.
_VERSION = 3
#: Fewer photographs than this to learn from, or to score, are no audit.
_LEAST = {"train": 20, "val": 2, "test": 10}


class Audit:
    """Reads attributes from the descriptors of one data set, for any number of encoders.

    Args:
        loader: Builds networks and probes.
        dataset: The photographs.
        spec: What the data set declares.
        settings: Everything that the numbers depend on.
        folder: Where records go.
        cache: Folder of banks and of what is trained.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: there is no such recipe, or the limit is too small.
        UnknownNameError: an attribute is neither an annotation nor a probe.
    """

    def __init__(
        self,
        loader: Loader,
        dataset: Dataset,
        spec: DatasetSpec,
        settings: AuditSettings,
        *,
        folder: ProbeFolder,
        cache: Path,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        unknown = [name for name in settings.recipes if name not in RECIPES]
        if unknown:
            raise UsageError(f"There is no recipe '{unknown[0]}'. Available: {', '.join(RECIPES)}.")
        if settings.limit is not None and settings.limit < 1:
            raise UsageError(f"The limit is {settings.limit}; it must be at least 1.")
        self.loader, self.spec, self.settings, self.folder = loader, spec, settings, folder
        self.dataset = dataset if settings.limit is None else Subset(dataset, settings.limit)
        self._cache, self._progress, self._say = cache, progress, say
        frame = self.dataset.framing or PORTRAIT
        self._chosen = choose_attributes(
            settings.attributes, self.dataset, spec.real, loader, frame, clean_part(self.dataset, frame).framing, say
        )
        #: What is read: the chosen ones, less those that too few images have.
        self.attributes = self._chosen

    def run(self, encoder: str) -> ProbeRecord:
        """Return the record of an encoder: read back if it is there, or computed and written."""
        spec: EncoderSpec = self.loader.host.spec("encoder", encoder)
        weights, code = self._hashes(spec), self._code(spec)
        config = asdict(self.settings) | {"encoder": spec.name, "attributes": [item.name for item in self._chosen]}
        record_id = fingerprint({"version": _VERSION, "config": deciding(config), "weights": weights, "code": code})
        known = self.folder.finished(record_id)
        if known:
            return known
        began = time.perf_counter()
        bank = self._bank(spec.name)
        parts = self.parts(bank)
        embedded = time.perf_counter()
        self.attributes = self._known(parts)
        read = self._descriptor_readings(bank, parts)
        trained = time.perf_counter()
        image = self._image_readings(parts)
        looked = time.perf_counter()
        rows: list[dict[str, Any]] = []
        columns: dict[str, list[Any]] = {}
        people = self.dataset.identities or self.dataset.ids
        for attribute in self.attributes:
            readings = [*read[attribute.name], *image[attribute.name], self._baseline(attribute, parts)]
            rows += score_attribute(
                attribute, self._labels[attribute.name], parts["test"], people, readings,
                encoder=spec.name, precision=self.settings.precision,
                dataset=self.settings.dataset, seed=self.settings.seed,
                ids=self.dataset.ids, columns=columns,
            )  # fmt: skip
        self.folder.write_rows(record_id, columns)
        facts = {
            "kind": "probe",
            "status": "ok",
            "config": config,
            "weights": weights,
            "code": code,
            "environment": environment(),
            "dataset": self._described(parts),
            "attributes": {item.name: self._attribute(item, parts) for item in self.attributes},
            "rows": rows,
            "skipped": [list(item) for item in bank.skipped],
            "seconds": {
                "embed": round(embedded - began, 3),
                "heads": round(trained - embedded, 3),
                "image": round(looked - trained, 3),
                "score": round(time.perf_counter() - looked, 3),
            },
        }
        record = ProbeRecord.of(record_id, facts)
        self.folder.write(record)
        return record

    def parts(self, bank: Bank) -> dict[str, Tensor]:
        """Return the usable rows of each part, ``"train"``, ``"val"`` and ``"test"``.

        Raises:
            InputError: too few are left to learn from or to score.
        """
        splits = self._splits
        rows = {
            part: torch.tensor(
                [row for row, name in enumerate(splits) if name == part and bank.usable[row]], dtype=torch.long
            )
            for part in ("train", "val", "test")
        }
        for part, least in _LEAST.items():
            if len(rows[part]) < least:
                raise InputError(
                    f"The data set '{self.settings.dataset}' has {len(rows[part])} usable images in its part '{part}' "
                    f"and {len(self.dataset.ids)} in all; an audit needs at least {least} there."
                )
        return rows

    def _known(self, parts: Mapping[str, Tensor]) -> list[Attribute]:
        """Return the attributes that enough images have; say which of the default ones are left out.

        Raises:
            InputError: of an attribute that was asked for too few are known.
        """
        kept = []
        for item in self._chosen:
            known = ~self._labels[item.name].flatten(1).isnan().any(1)
            few = [
                f"{int(known[parts[part]].sum())} in '{part}'"
                for part in _LEAST
                if known[parts[part]].sum() < _LEAST[part]
            ]
            if not few:
                kept.append(item)
                continue
            reason = f"'{item.name}' is known of too few images: {', '.join(few)}; labelled by {item.labelled_by}."
            if item.name in {name.casefold() for name in self.settings.attributes}:
                raise InputError(f"The attribute {reason}")
            if self.attributes is self._chosen:  # said once, whatever the number of encoders
                self._say(f"Left out: {reason}")
        if not kept:
            raise InputError(f"No attribute of '{self.settings.dataset}' is known of enough images.")
        return kept

    def framed(self, row: int) -> Tensor:
        """Return image ``row`` ``(3, H, W)`` in the frame that attributes are measured in."""
        frame, source = self.dataset.framing or PORTRAIT, self.dataset.framing
        detector = self.loader.detector(self.settings.detector) if source is None else None
        return aligner(frame, source, detector)(self.dataset.load(row))

    @cached_property
    def _splits(self) -> tuple[str, ...]:
        """Part of each image. Where a data set has none for validation, a tenth of its training people are."""
        people = self.dataset.identities or self.dataset.ids
        hashed = hashed_splits(people)
        given = self.dataset.splits
        if given is None or "val" in given:
            return tuple(given or hashed)
        return tuple(
            "val" if own == "train" and part == "val" else own for own, part in zip(given, hashed, strict=True)
        )

    @cached_property
    def _labels(self) -> dict[str, Tensor]:
        """Labels ``(N, *shape)`` of each attribute; a row that has any NaN is not known."""
        bank = self._bank("")
        return {item.name: item.labels(self.dataset, bank.attributes.__getitem__).float() for item in self._chosen}

    def _bank(self, encoder: str) -> Bank:
        """Return descriptors, measured attributes and crops, made in one pass over the images."""
        measured = sorted({name for item in self._chosen for name in item.measured})
        return open_bank(
            self.loader, self.dataset, encoder, measured,
            folder=self._cache / "banks",
            crop=CROP if self._looks else None,
            detector=self.settings.detector,
            precision=self.settings.precision, compiled=self.settings.compile,
            progress=self._progress, say=self._say,
        )  # fmt: skip

    @property
    def _looks(self) -> bool:
        """Whether a network has to be trained on the photographs."""
        return self.settings.image is not None and not all(item.is_exact for item in self._chosen)

    def _descriptor_readings(self, bank: Bank, parts: Mapping[str, Tensor]) -> dict[str, list[Reading]]:
        """Return what each recipe reads of the test rows, by attribute."""
        dim = bank.descriptors.shape[1]
        tasks: list[Task] = []
        derived: list[tuple[Attribute, DerivedProbe]] = []
        for recipe in self.settings.recipes:
            for item in self.attributes:
                if recipe == "tuned":
                    tasks.append(tuned_task(item, self._labels[item.name], dim))
                elif isinstance(item.probe, DerivedProbe):
                    derived.append((item, item.probe))
                else:
                    tasks += self._paper_task(item.name, item.probe, self._labels[item.name], dim)
        for item, probe in derived:
            for name, source in zip(item.measured, probe.sources, strict=True):
                if f"paper {name}" not in {task.name for task in tasks}:
                    tasks += self._paper_task(name, source, bank.attributes[name].clone(), dim)
        readers = train_heads(
            bank.descriptors, tasks, Parts(parts["train"], parts["val"]),
            seed=self.settings.seed, progress=self._progress,
        )  # fmt: skip
        found: dict[str, list[Reading]] = {item.name: [] for item in self.attributes}
        for recipe in self.settings.recipes:
            for item in self.attributes:
                values = self._read(item, recipe, readers, bank.descriptors, parts["test"])
                if values is not None:
                    found[item.name].append(Reading("descriptor", recipe, values))
        return found

    def _read(
        self, item: Attribute, recipe: str, readers: Mapping[str, Reader], descriptors: Tensor, rows: Tensor
    ) -> Tensor | None:
        """Return what a recipe reads, ``(len(rows), *shape)``; ``None`` where the paper has no recipe."""
        reader = readers.get(f"{recipe} {item.name}")
        if reader is not None:
            return _in_parts(reader, descriptors, rows)
        sources = [readers.get(f"{recipe} {name}") for name in item.measured]
        if isinstance(item.probe, DerivedProbe) and all(sources):
            # The paper reads landmarks: what follows from those is how well its recipe reads the pose.
            return item.probe.derive(*(_in_parts(source, descriptors, rows) for source in sources if source))
        return None

    def _paper_task(self, name: str, probe: Any, labels: Tensor, dim: int) -> list[Task]:
        try:
            probe.paper_head(dim)
            recipe: Recipe = probe.paper_recipe()
        except NotImplementedError:
            return []
        return [Task(f"paper {name}", labels, lambda: probe.paper_head(dim), recipe, probe.constrain)]

    def _image_readings(self, parts: Mapping[str, Tensor]) -> dict[str, list[Reading]]:
        """Return what is read of the test photographs themselves, by attribute."""
        found: dict[str, list[Reading]] = {item.name: [] for item in self.attributes}
        for item in self.attributes:
            if item.is_exact:
                found[item.name].append(Reading("image", "exact", self._labels[item.name][parts["test"]]))
        recipe = self.settings.image
        if not self._looks or recipe is None:
            return found
        looked_at = [item for item in self.attributes if not item.is_exact]
        for name, values in self._network_readings(looked_at, recipe, parts).items():
            found[name].append(Reading("image", recipe.backbone, values))
        return found

    def _network_readings(
        self, items: Sequence[Attribute], recipe: ImageRecipe, parts: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        bank = self._bank("")
        assert bank.crops is not None, "crops are made where a network looks at them"
        crops = bank.crops
        tasks = [
            ImageTask(item.name, self._labels[item.name], item.is_binary, item.probe.constrain, item.probe.mirror)
            for item in items
        ]
        key = fingerprint(
            {
                "version": 1,
                "bank": bank.key,
                "recipe": asdict(recipe),
                "seed": self.settings.seed,
                "labels": {task.name: _digest(task.labels) for task in tasks},
                "parts": {part: _digest(rows) for part, rows in parts.items()},
            }
        )

        def make() -> dict[str, Tensor]:
            return read_images(
                crops, tasks, parts["train"], parts["val"], parts["test"], recipe,
                seed=self.settings.seed, device=self.loader.device, progress=self._progress,
            )  # fmt: skip

        return load_or_make(self._cache / "trained" / f"image reader-{key}.safetensors", make)

    def _baseline(self, item: Attribute, parts: Mapping[str, Tensor]) -> Reading:
        """Return the guess that needs no descriptor: the mean of what the heads learn from.

        For a binary attribute that is the share of 1s, whose side of 0.5 is the commonest class.
        """
        labels = self._labels[item.name][parts["train"]]
        known = labels[~labels.flatten(1).isnan().any(1)]
        return Reading("baseline", None, known.mean(0).expand(len(parts["test"]), *known.shape[1:]))

    def _described(self, parts: Mapping[str, Tensor]) -> dict[str, Any]:
        people = self.dataset.identities
        return {
            "name": self.settings.dataset,
            "real": self.spec.real,
            "fingerprint": self.dataset.fingerprint(),
            "images": {part: len(rows) for part, rows in parts.items()},
            "people": None
            if people is None
            else {part: len({people[int(row)] for row in rows}) for part, rows in parts.items()},
        }

    def _attribute(self, item: Attribute, parts: Mapping[str, Tensor]) -> dict[str, Any]:
        known = ~self._labels[item.name].flatten(1).isnan().any(1)
        described: dict[str, Any] = {
            "labelled_by": item.labelled_by,
            "score": item.main_score,
            "known": {part: int(known[rows].sum()) for part, rows in parts.items()},
        }
        if item.is_binary:
            described["share"] = float(self._labels[item.name][parts["test"]].nanmean())
        elif item.spec is not None:
            described["unit"] = item.spec.unit
        return described

    def _networks(self, encoder: EncoderSpec) -> list[Spec]:
        """Return the specs of all networks and probes that the numbers depend on."""
        host = self.loader.host
        specs: list[Spec] = [encoder, *(item.spec for item in self._chosen if item.spec is not None)]
        specs += [host.spec("probe", name) for item in self._chosen for name in item.measured]
        if self.dataset.framing is None and self.settings.detector:
            specs.append(host.spec("detector", self.settings.detector))
        return specs

    def _code(self, encoder: EncoderSpec) -> dict[str, str]:
        """Return a hash of each piece of code that the numbers depend on, by what it is."""
        specs: list[Spec] = [*self._networks(encoder), self.spec]
        return {"faceinv": core_hash("audit")} | {f"{spec.kind} {spec.name}": code_hash(spec) for spec in specs}

    def _hashes(self, encoder: EncoderSpec) -> dict[str, str]:
        """Return the hash of every file that the numbers depend on, by name; of the images and labels too."""
        hashes: dict[str, str] = {}
        for spec in self._networks(encoder):
            hashes |= self.loader.hashes(spec)
        annotated = {
            item.annotation: _digest(self.dataset.annotations[item.annotation])
            for item in self._chosen
            if item.annotation
        }
        return hashes | {
            "data set": self.dataset.fingerprint(),
            "annotations": fingerprint(annotated),
            "splits": fingerprint({"of": self._splits}),
        }


def tuned_task(item: Attribute, labels: Tensor, dim: int) -> Task:
    """Return the one recipe for all attributes; only the loss follows from what is read."""
    outputs = labels[0].numel()
    recipe = replace(TUNED, objective="bce" if item.is_binary else "mse")
    return Task(f"tuned {item.name}", labels, lambda: tuned_head(dim, outputs), recipe, item.probe.constrain)


def tuned_head(dim: int, outputs: int) -> nn.Module:
    """Return the untrained head of the recipe ``"tuned"``.

    It starts at the mean of the training part: with little to learn from it can only get better.
    """
    head = TunedHead(dim, outputs, width=128, dropout=0.3)
    for layer in (head.linear, head.mlp[-1]):
        assert isinstance(layer, nn.Linear)
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return head


@torch.inference_mode()
def _in_parts(reader: Reader, descriptors: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([reader(descriptors[part]) for part in torch.split(rows, 4096)])


def _digest(values: Tensor) -> str:
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()[:16]
