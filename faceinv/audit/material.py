"""Material of an audit: the photographs with their attributes, labels, parts and bank."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from faceinv.audit.attributes import Attribute, choose_attributes
from faceinv.audit.image_reader import CROP
from faceinv.audit.settings import AuditSettings
from faceinv.bank.bank import Bank, BankSettings, open_bank
from faceinv.bank.frame import PORTRAIT, clean_part
from faceinv.bank.subset import Subset
from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import DatasetSpec
from faceinv.data.alignment import aligner
from faceinv.data.splits import parts_of
from faceinv.errors import InputError
from faceinv.models.loader import Loader

#: Minimum number of photographs per part.
LEAST = {"train": 20, "val": 2, "test": 10}


class Material:
    """A data set and everything that an audit knows about its images before it trains.

    Args:
        loader: Builds networks and probes.
        dataset: The photographs.
        spec: The data set's declaration.
        settings: Settings of the audit.
        folder: Folder of banks.
        progress: Called with (what, done, of).
        say: Called with remarks.

    Raises:
        UnknownNameError: if an attribute is neither an annotation nor a probe.
    """

    def __init__(
        self,
        loader: Loader,
        dataset: Dataset,
        spec: DatasetSpec,
        settings: AuditSettings,
        *,
        folder: Path,
        progress: Reporter | None = None,
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.loader, self.spec, self.settings = loader, spec, settings
        self.dataset = dataset if settings.limit is None else Subset(dataset, settings.limit)
        self._folder, self._progress, self.say = folder, progress, say
        self._reported = False
        frame = self.dataset.framing or PORTRAIT
        clean = clean_part(self.dataset, frame).framing
        #: The attributes that were asked for, or the default ones.
        self.chosen = choose_attributes(settings.attributes, self.dataset, spec.real, loader, frame, clean, say)

    @cached_property
    def splits(self) -> tuple[str, ...]:
        """Part of each image. If the data set has no validation part, it is a tenth of the training people."""
        return parts_of(self.dataset)

    @property
    def people(self) -> tuple[str, ...]:
        """Person in each image; every image is a person of its own if the data set names none."""
        return tuple(self.dataset.identities or self.dataset.ids)

    @cached_property
    def labels(self) -> dict[str, Tensor]:
        """Labels ``(N, *shape)`` of each attribute; a row with any NaN is unknown."""
        bank = self.bank("")
        return {item.name: item.labels(self.dataset, bank.attributes.__getitem__).float() for item in self.chosen}

    def known(self, item: Attribute) -> Tensor:
        """Return which images ``(N,)`` have a label of this attribute."""
        return ~self.labels[item.name].flatten(1).isnan().any(1)

    @property
    def trains_on_images(self) -> bool:
        """True if a network has to be trained on the photographs."""
        return self.settings.image is not None and not all(item.is_exact for item in self.chosen)

    def bank(self, encoder: str) -> Bank:
        """Return descriptors, measured attributes and crops, made in one pass over the images."""
        settings = self.settings
        return open_bank(
            self.loader,
            self.dataset,
            encoder,
            sorted({name for item in self.chosen for name in item.measured}),
            BankSettings(
                crop=CROP if self.trains_on_images else None,
                detector=settings.detector,
                precision=settings.precision,
                compile=settings.compile,
            ),
            folder=self._folder,
            progress=self._progress,
            say=self.say,
        )

    def parts(self, bank: Bank) -> dict[str, Tensor]:
        """Return the usable rows of each part, ``"train"``, ``"val"`` and ``"test"``.

        Raises:
            InputError: if a part has too few images.
        """
        rows = {
            part: torch.tensor(
                [row for row, name in enumerate(self.splits) if name == part and bank.usable[row]], dtype=torch.long
            )
            for part in LEAST
        }
        for part, least in LEAST.items():
            if len(rows[part]) < least:
                raise InputError(
                    f"The data set '{self.settings.dataset}' has {len(rows[part])} usable images in its part '{part}' "
                    f"and {len(self.dataset.ids)} in all; an audit needs at least {least} there."
                )
        return rows

    def readable(self, parts: Mapping[str, Tensor]) -> list[Attribute]:
        """Return the attributes whose label is known for enough images; report default ones that are left out.

        Raises:
            InputError: if an attribute that was asked for is known for too few images, or if none is left.
        """
        kept = []
        for item in self.chosen:
            counts = {part: int(self.known(item)[rows].sum()) for part, rows in parts.items()}
            few = [f"{count} in '{part}'" for part, count in counts.items() if count < LEAST[part]]
            if not few:
                kept.append(item)
                continue
            reason = f"'{item.name}' is known for too few images: {', '.join(few)}; labelled by {item.labelled_by}."
            if item.name in {name.casefold() for name in self.settings.attributes}:
                raise InputError(f"The attribute {reason}")
            if not self._reported:  # once, whatever the number of encoders
                self.say(f"Left out: {reason}")
        self._reported = True
        if not kept:
            raise InputError(f"No attribute of '{self.settings.dataset}' is known for enough images.")
        return kept

    def framed(self, row: int) -> Tensor:
        """Return image ``row`` ``(3, H, W)`` in the frame that attributes are measured in."""
        source = self.dataset.framing
        detector = self.loader.detector(self.settings.detector) if source is None else None
        return aligner(source or PORTRAIT, source, detector)(self.dataset.load(row))

    def described(self, parts: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the description of the data set for the record."""
        people = self.dataset.identities
        counts = None if people is None else {part: len({people[int(r)] for r in rows}) for part, rows in parts.items()}
        return {
            "name": self.settings.dataset,
            "real": self.spec.real,
            "fingerprint": self.dataset.fingerprint(),
            "images": {part: len(rows) for part, rows in parts.items()},
            "people": counts,
        }

    def described_attribute(self, item: Attribute, parts: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the description of an attribute for the record."""
        known = self.known(item)
        described: dict[str, Any] = {
            "labelled_by": item.labelled_by,
            "score": item.main_score,
            "known": {part: int(known[rows].sum()) for part, rows in parts.items()},
        }
        if item.is_binary:
            described["share"] = float(self.labels[item.name][parts["test"]].nanmean())
        elif item.spec is not None:
            described["unit"] = item.spec.unit
        return described
