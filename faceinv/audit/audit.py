"""Section 3 of the paper: attributes read from descriptors of photographs, next to a guess and to reading the image."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from faceinv.audit.attributes import Attribute
from faceinv.audit.exposure import Exposure
from faceinv.audit.image_reader import backbone_options
from faceinv.audit.leaked import leaked_bank
from faceinv.audit.material import Material
from faceinv.audit.protection import protected_bank
from faceinv.audit.readings import Rows, baseline, descriptor_readings, digest, image_readings
from faceinv.audit.rows import Reading, score_attribute
from faceinv.audit.settings import RECIPES, AuditSettings, deciding
from faceinv.bank.bank import Bank
from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import DatasetSpec, EncoderSpec, Spec
from faceinv.data.images import write_image
from faceinv.errors import UsageError
from faceinv.models.loader import Loader
from faceinv.plugins.code import codes, core_hash
from faceinv.storage.audit_records import ProbeRecord
from faceinv.storage.hashing import fingerprint
from faceinv.storage.probe_folder import ProbeFolder
from faceinv.storage.run_folder import environment
from faceinv.weights.trust import Refusals

#: Increased whenever the same settings give other numbers.
_VERSION = 3
_WHOLE = Exposure()


class Audit:
    """Attribute inference on one data set, for any number of encoders.

    Args:
        loader: Builds networks and probes.
        dataset: The photographs.
        spec: The data set's declaration.
        settings: Everything that the numbers depend on.
        folder: Folder of the records.
        cache: Folder of banks and trained networks.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UsageError: if there is no such recipe, or the limit is too small.
        UnknownNameError: if an attribute is neither an annotation nor a probe.
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
        self.loader, self.settings, self.folder = loader, settings, folder
        self.material = Material(
            loader, dataset, spec, settings, folder=cache / "banks", progress=progress, say=say
        )  # fmt: skip
        self._trained, self._progress, self._say = cache / "trained", progress, say
        #: The attributes that are read: the chosen ones, except those known for too few images.
        self.attributes = self.material.chosen

    def require_files(self, exposed: Iterable[tuple[str, Exposure]]) -> None:
        """Fetch every weights file that the encoders need, so that one refusal names all that have to be trusted."""
        refusals = Refusals(asks=self.loader.store.asks)
        for encoder, exposure in exposed:
            for spec in self._networks(self.loader.host.spec("encoder", encoder), exposure):
                with refusals.gathered():
                    self.loader.hashes(spec)
        refusals.end()

    def run(self, encoder: str, exposure: Exposure = _WHOLE) -> ProbeRecord:
        """Return the record of an encoder; compute and write it unless it is there.

        Args:
            encoder: Name of the encoder.
            exposure: What the attacker has of the system; by default whole descriptors, and the encoder.
        """
        spec: EncoderSpec = self.loader.host.spec("encoder", encoder)
        weights, code = self._hashes(spec, exposure), self._code(spec, exposure)
        names = [item.name for item in self.material.chosen]
        config = asdict(self.settings) | {"encoder": spec.name, "attributes": names} | exposure.config
        parts_of_id = {"version": _VERSION, "config": deciding(config), "weights": weights, "code": code}
        record_id = fingerprint(parts_of_id)
        known = self.folder.finished(record_id, self._say)
        if known:
            return known
        if self.settings.image is not None and self.material.trains_on_images:
            backbone_options(self.settings.image.backbone)
        began = time.perf_counter()
        bank = self.material.bank(spec.name)
        parts = self.material.parts(bank)
        embedded = time.perf_counter()
        seen, learned = self._seen(bank, exposure, spec, parts)
        self.attributes = self.material.readable(learned)
        read = descriptor_readings(self.material, self.attributes, seen, learned, self._progress)
        trained = time.perf_counter()
        image = image_readings(self.material, self.attributes, parts, self._trained, self._progress)
        looked = time.perf_counter()
        columns: dict[str, list[Any]] = {}
        readings = {
            item.name: [*read[item.name], *image[item.name], baseline(self.material, item, parts)]
            for item in self.attributes
        }
        rows = self._scored(exposure.title(spec.name), readings, parts["test"], columns)
        digests = self.folder.write_rows(record_id, columns)
        facts = {
            "kind": "probe",
            "status": "ok",
            "config": config,
            "weights": weights,
            "code": code,
            "environment": environment(),
            "dataset": self.material.described(parts),
            "attributes": {item.name: self.material.described_attribute(item, parts) for item in self.attributes},
            "rows": rows,
            "skipped": [list(item) for item in bank.skipped],
            "seconds": {
                "embed": round(embedded - began, 3),
                "heads": round(trained - embedded, 3),
                "image": round(looked - trained, 3),
                "score": round(time.perf_counter() - looked, 3),
            },
            "digests": digests,
        }
        record = ProbeRecord.of(record_id, facts)
        self.folder.write(record)
        return record

    def keep_photographs(self, record: ProbeRecord, images: Sequence[str]) -> None:
        """Write photographs of the data set next to a record, in the frame that attributes are measured in."""
        rows = {name: row for row, name in enumerate(self.material.dataset.ids)}
        for name in images:
            path = self.folder.photograph_path(record.id, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(self.material.framed(rows[name]), path)

    def _seen(self, bank: Bank, exposure: Exposure, encoder: EncoderSpec, parts: Rows) -> tuple[Bank, Rows]:
        """Return the bank with what the attacker sees, and the rows that readers learn from."""
        if exposure.protect:
            rows = parts["train"], parts["test"]
            protect, threat = exposure.protect, exposure.threat
            return protected_bank(bank, protect, threat, encoder, self.material, *rows, self.loader.host), parts
        if exposure == _WHOLE:
            return bank, parts
        return leaked_bank(bank, exposure, self.material, parts)

    def _scored(
        self, encoder: str, readings: Mapping[str, list[Reading]], test: Tensor, columns: dict[str, list[Any]]
    ) -> list[dict[str, Any]]:
        """Return the rows of all attributes; add a line per image and reading to ``columns``."""
        rows: list[dict[str, Any]] = []
        for item in self.attributes:
            rows += score_attribute(
                item, self.material.labels[item.name], test, self.material.people, readings[item.name],
                encoder=encoder, precision=self.settings.precision,
                dataset=self.settings.dataset, seed=self.settings.seed,
                ids=self.material.dataset.ids, columns=columns,
            )  # fmt: skip
        return rows

    def _networks(self, encoder: EncoderSpec, exposure: Exposure) -> list[Spec]:
        """Return the specs of all networks and probes that the numbers depend on."""
        host, chosen = self.loader.host, self.material.chosen
        specs: list[Spec] = [encoder, *(item.spec for item in chosen if item.spec is not None)]
        specs += [host.spec("encoder", exposure.surrogate)] if exposure.surrogate else []
        specs += [host.spec("probe", name) for item in chosen for name in item.measured]
        if self.material.dataset.framing is None and self.settings.detector:
            specs.append(host.spec("detector", self.settings.detector))
        return specs

    def _code(self, encoder: EncoderSpec, exposure: Exposure) -> dict[str, str]:
        """Return a hash of each piece of code that the numbers depend on, by what it is."""
        specs: list[Spec] = [*self._networks(encoder, exposure), self.material.spec]
        if exposure.protect:
            specs.append(self.loader.host.spec("protection", exposure.protect.partition(":")[0]))
        return {"faceinv": core_hash("audit", "bank")} | codes(self.loader.host, specs)

    def _hashes(self, encoder: EncoderSpec, exposure: Exposure) -> dict[str, str]:
        """Return the hash of each weights file, and of images, annotations and splits, that the numbers depend on."""
        hashes: dict[str, str] = {}
        for spec in self._networks(encoder, exposure):
            hashes |= self.loader.hashes(spec)
        dataset = self.material.dataset
        annotated: list[Attribute] = [item for item in self.material.chosen if item.annotation]
        return hashes | {
            "data set": dataset.fingerprint(),
            "annotations": fingerprint(
                {item.annotation: digest(dataset.annotations[item.annotation]) for item in annotated}
            ),
            "splits": fingerprint({"of": self.material.splits}),
        }
