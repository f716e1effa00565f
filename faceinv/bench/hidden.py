"""What a protection learns from: samples of the generator, or photographs whose annotation it learns to hide."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from torch import Tensor, nn

from faceinv.attack.preparation import Preparation
from faceinv.bank.bank import BankSettings, open_bank
from faceinv.bank.subset import Subset
from faceinv.bench import apart
from faceinv.bench.cell import Cell
from faceinv.contracts.data import Dataset
from faceinv.contracts.protection_specs import ATTRIBUTE, ProtectionContext
from faceinv.errors import InputError, UsageError, unknown_name
from faceinv.plugins.host import Host
from faceinv.storage.cache import cache_folder

if TYPE_CHECKING:
    from faceinv.bench.resources import Resources

#: Photographs that are embedded at most to learn from, and labelled ones that are too few.
_PHOTOGRAPHS, _LEAST = 2000, 100


def annotation(host: Host, cell: Cell, dataset: Dataset) -> str:
    """Return the annotation of the data set that the cell's protection hides; empty if a probe measures it.

    Raises:
        UnknownNameError: if there is neither an annotation nor a probe of that name.
    """
    name = str(cell.protection_options.get(ATTRIBUTE, ""))
    if not name or name in dataset.annotations:
        return name
    try:
        host.spec("probe", name)
    except UsageError:
        probes = [spec.name for spec in host.specs("probe")]
        raise unknown_name("attribute of the protection", name, [*dataset.annotations, *probes]) from None
    return ""


def annotation_hash(dataset: Dataset, name: str) -> str:
    """Return a hash of the annotation's values."""
    return hashlib.sha256(dataset.annotations[name].contiguous().numpy().tobytes()).hexdigest()


def context_of(resources: Resources, cell: Cell, samples: Preparation) -> ProtectionContext:
    """Return what the cell's protection is built from; nothing is computed before it is used.

    Args:
        resources: The cell's data set, targets and networks.
        cell: The cell.
        samples: Samples of the generator.
    """
    dataset, host = resources.dataset(cell)[0], resources.host
    dim, name = host.spec("encoder", cell.encoder).dim, annotation(host, cell, dataset)
    if not name:
        return ProtectionContext(
            dim,
            cell.seed,
            lambda: nn.functional.normalize(samples.pairs.descriptors),
            lambda probe: samples.labels(host.spec("probe", probe).name).flatten(1),
        )
    known: list[tuple[Tensor, Tensor]] = []

    def learnt() -> tuple[Tensor, Tensor]:
        if not known:
            known.append(_photographs(resources, cell, dataset, name))
        return known[0]

    return ProtectionContext(dim, cell.seed, lambda: learnt()[0], lambda _: learnt()[1])


def _photographs(resources: Resources, cell: Cell, dataset: Dataset, name: str) -> tuple[Tensor, Tensor]:
    """Return descriptors of length 1 and labels ``(N, k)`` of photographs, none of a target's person."""
    if dataset.identities is None:
        raise InputError(
            f"{cell.dataset} names no people, so the protection '{cell.protection}' could learn '{name}' from "
            "photographs of the targets themselves. Give each person a sub-folder."
        )
    subset = Subset(dataset, _PHOTOGRAPHS)
    settings = BankSettings(
        frame=resources.loader.generator(cell.generator).framing, detector=cell.detector, as_targets=True
    )
    bank = open_bank(
        resources.loader, subset, cell.encoder, settings=settings, folder=cache_folder() / "banks",
        progress=resources.progress,
    )  # fmt: skip
    labels = subset.annotations[name].float().reshape(len(subset.ids), -1)
    usable = bank.usable & labels.isfinite().all(1) & ~apart.of_people(subset, resources.targets(cell))
    left = int(usable.sum())
    if left < _LEAST:
        raise InputError(
            f"The protection '{cell.protection}' learns '{name}' from photographs of {cell.dataset} that show no "
            f"target's person; {left} of them have a label, and it needs {_LEAST}."
        )
    return nn.functional.normalize(bank.descriptors[usable]), labels[usable]
