"""Photographs that readers learn from in place of the generator's samples, as in the paper (section 3)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from faceinv.bank.bank import Bank, BankSettings, open_bank
from faceinv.bank.labelling import labelling
from faceinv.bank.makers import images_key
from faceinv.contracts.data import Dataset
from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import EncoderSpec, Framing
from faceinv.data.splits import parts_of
from faceinv.errors import InputError
from faceinv.models.loader import Loader
from faceinv.plugins.code import MAKING, core_hash
from faceinv.probes.reader import Examples, Split
from faceinv.probes.whitening import Whitening

#: Fewest photographs in each part.
LEAST = {"train": 100, "val": 10, "test": 10}


class Photographs:
    """Photographs of a data set with their descriptors and labels, without those that show a target's person.

    They are brought into the generator's framing first, as targets are, so that what is read from a descriptor is what
    the losses measure on a candidate. The bank keeps descriptors and labels, so that nothing is computed twice.

    Args:
        loader: Builds encoder and probes.
        dataset: The photographs.
        name: ``NAME:PATH`` of the data set, for messages and records.
        apart: ``(N,)`` bool: the photographs that nothing may be learnt from.
        framing: The generator's framing.
        encoder: The attacked encoder.
        probes: Probes that will be read; all are measured in the pass that embeds the photographs.
        detector: Finds faces if the data set's framing is unknown or approximate.
        folder: Folder of banks.
        progress: Called with (what, done, of).

    Raises:
        InputError: if too few photographs are left.
    """

    def __init__(
        self,
        loader: Loader,
        dataset: Dataset,
        name: str,
        apart: Tensor,
        *,
        framing: Framing,
        encoder: EncoderSpec,
        probes: Sequence[str],
        detector: str,
        folder: Path,
        progress: Reporter | None = None,
    ) -> None:
        self._loader, self._dataset, self.name = loader, dataset, name
        self._framing, self._encoder, self._probes = framing, encoder, tuple(probes)
        self._settings = BankSettings(frame=framing, detector=detector, as_targets=True)
        self._folder, self._progress = folder, progress
        #: Rows of each part; no person is in two of them.
        self.rows = _parts(dataset, name, apart)

    @property
    def ids(self) -> Sequence[str]:
        """The data set's ids, one for each row."""
        return self._dataset.ids

    @cached_property
    def made_of(self) -> dict[str, object]:
        """Everything that the descriptors depend on; known without computing them."""
        loader, detector = self._loader, self._settings.detector_for(self._dataset)
        return {
            "core": core_hash("attack/photographs.py", "attack/preparation.py", "bank", of=MAKING),
            "images": images_key(loader, self._dataset, self._framing, detector),
            "encoder": loader.provenance(self._encoder),
            "crop": asdict(self._encoder.framing),
            "framing": asdict(self._framing),
            "rows": {part: _hash(rows.numpy().tobytes()) for part, rows in self.rows.items()},
        }

    def provenance(self, name: str) -> dict[str, object]:
        """Return everything that the examples for the probe ``name`` depend on, without computing them."""
        label, annotated = labelling(self._loader.host, name), self._annotation(name)
        own = self._loader.provenance(label) if annotated is None else _hash(annotated.numpy().tobytes())
        return {"photographs": self.made_of, "label": own}

    def whitening(self) -> Whitening:
        """Return the whitening fitted to the descriptors of the training part."""
        rows = self.rows["train"]
        return Whitening.fitted(self._bank.descriptors, rows[self._bank.usable[rows]])

    def examples(self, name: str) -> Examples:
        """Return descriptors and labels for the probe ``name``; its parts share no person.

        Raises:
            InputError: if the label is known for too few photographs.
        """
        rows = self.known(name)
        for part, least in LEAST.items():
            if len(rows[part]) < least:
                raise InputError(
                    f"'{name}' is known for {len(rows[part])} photographs of '{self.name}' in the part '{part}'; at "
                    f"least {least} are needed to learn it (--probe-data)."
                )
        chosen = torch.cat([rows[part] for part in LEAST])
        train, val = len(rows["train"]), len(rows["train"]) + len(rows["val"])
        split = Split(slice(0, train), slice(train, val), slice(val, len(chosen)))
        return Examples(self._bank.descriptors[chosen], self._labels(name)[chosen], split)

    def known(self, name: str) -> dict[str, Tensor]:
        """Return the rows of each part whose label for the probe ``name`` is known."""
        known = self._bank.usable & self._labels(name).flatten(1).isfinite().all(1)
        return {part: rows[known[rows]] for part, rows in self.rows.items()}

    def _labels(self, name: str) -> Tensor:
        """Return the labels ``(N, *shape)`` of all photographs, NaN where unknown."""
        own = self._annotation(name)
        return self._bank.attributes[labelling(self._loader.host, name).name] if own is None else own

    def described(self, name: str, n: int) -> str:
        """Return a description of the ``n`` photographs that the probe ``name`` was trained on, for records."""
        people = self._dataset.identities
        who = "" if people is None else f" of {len({people[row] for row in self.rows['train'].tolist()}):,} people"
        label = labelling(self._loader.host, name).name
        by = "annotated there" if self._annotation(name) is not None else f"labelled by '{label}'"
        return f"{n:,} photographs{who} from {self.name}, {by}"

    @cached_property
    def _bank(self) -> Bank:
        labels = [labelling(self._loader.host, name).name for name in self._probes if self._annotation(name) is None]
        encoder, settings = self._encoder.name, self._settings
        return open_bank(
            self._loader, self._dataset, encoder, labels, settings, folder=self._folder, progress=self._progress
        )

    def _annotation(self, name: str) -> Tensor | None:
        """Return the data set's own labels ``(N, *shape)`` of a probe of one number, if it has any."""
        shape = self._loader.probe(name, self._framing).shape
        found = {key.strip().casefold(): values for key, values in self._dataset.annotations.items()}
        if name.casefold() not in found or math.prod(shape) != 1:
            return None
        return found[name.casefold()].float().reshape(-1, *shape)


def _parts(dataset: Dataset, name: str, apart: Tensor) -> dict[str, Tensor]:
    """Return the rows of each part that may be learnt from."""
    if apart.all():
        raise InputError(
            f"All {len(apart)} photographs of '{name}' show targets or their people, so that nothing is left to learn "
            "from; take fewer targets (--limit) or other photographs (--probe-data)."
        )
    names = parts_of(dataset)
    rows = {
        part: torch.tensor([row for row, own in enumerate(names) if own == part and not apart[row]], dtype=torch.long)
        for part in LEAST
    }
    for part, least in LEAST.items():
        if len(rows[part]) < least:
            without = f" without the targets' people ({int(apart.sum())} photographs)" if apart.any() else ""
            raise InputError(
                f"'{name}' has {len(rows[part])} photographs in the part '{part}'{without}, and {len(apart)} in all; "
                f"at least {least} are needed to learn probes from (--probe-data)."
            )
    return rows


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
