"""Less than whole descriptors of an encoder that can be run: what readers see of each, and what they learn from."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from faceinv.attack.leaks import spread
from faceinv.attack.space_map import fitted_map
from faceinv.attack.views import View
from faceinv.audit.exposure import Exposure
from faceinv.audit.material import LEAST, Material
from faceinv.audit.readings import Rows
from faceinv.bank.bank import Bank
from faceinv.contracts.leaks import Leak, parse_knowledge, parse_leak
from faceinv.errors import InputError, UsageError
from faceinv.storage.hashing import seed_of


def leaked_bank(bank: Bank, exposure: Exposure, material: Material, parts: Rows) -> tuple[Bank, Rows]:
    """Return the bank with what an attacker sees in place of descriptors, and the rows that readers learn from.

    An attacker who can run the encoder sees the same part of the descriptors of any photograph, so readers learn from
    that part. One with pairs trains readers on the pairs alone or, with a surrogate, on the surrogate's descriptors of
    any photograph; what leaked is then mapped to those.

    Args:
        bank: Photographs with whole descriptors.
        exposure: What the attacker has.
        material: The photographs.
        parts: Usable rows of each part.

    Raises:
        InputError: if there are fewer photographs than pairs or scores.
        UsageError: if readers cannot be trained on so few pairs.
    """
    seed, wanted = material.settings.seed, parse_knowledge(exposure.knowledge or "encoder")
    known = _pairs(parts, wanted, exposure, seed) if wanted else parts
    leak = parse_leak(exposure.leak or "descriptor", bank.descriptors.shape[1])
    seen = _seen(leak, bank.descriptors, known["train"]) if leak else bank.descriptors
    if not exposure.surrogate:
        return replace(bank, descriptors=seen), known
    own = nn.functional.normalize(material.bank(exposure.surrogate).descriptors)
    rows = torch.cat([known["train"], known["val"]])
    inputs = seen if leak else nn.functional.normalize(seen)
    mapped = fitted_map(inputs[rows], own[rows])
    material.say(
        f"{exposure.knowledge} to {exposure.surrogate}: {mapped.kind}, cosine {mapped.held_out:.3f} on pairs held out"
    )
    own[parts["test"]] = mapped(inputs[parts["test"]])
    return replace(bank, descriptors=own), parts


def _pairs(parts: Rows, wanted: int, exposure: Exposure, seed: int) -> Rows:
    """Return the rows of an attacker's pairs: smaller numbers of pairs are part of larger ones."""
    there = {name: parts[name] for name in ("train", "val")}
    total = sum(map(len, there.values()))
    if wanted > total:
        raise InputError(
            f"--knowledge {exposure.knowledge}: there are only {total:,} usable photographs of people on whom "
            "readers are not scored."
        )
    count = {"val": max(LEAST["val"], round(wanted * len(there["val"]) / total))}
    count["train"] = wanted - count["val"]
    if not exposure.surrogate and count["train"] < LEAST["train"]:
        raise UsageError(
            f"--knowledge {exposure.knowledge}: readers cannot be trained on so few. Allowed: pairs:"
            f"{LEAST['train'] + LEAST['val']} or more, or --surrogate NAME."
        )
    rng = torch.Generator().manual_seed(seed_of(f"knowledge {seed}"))
    chosen = {name: rows[torch.randperm(len(rows), generator=rng)][: count[name]] for name, rows in there.items()}
    return {**parts, **chosen}


def _seen(leak: Leak, descriptors: Tensor, rows: Tensor) -> Tensor:
    """Return what leaks ``(N, M)`` of whole descriptors ``(N, D)``; images that a system is shown are from ``rows``.

    Raises:
        InputError: if there are fewer images than scores.
    """
    if leak.kind != "scores":
        return View(leak, descriptors[rows])(descriptors)  # type: ignore[no-any-return]
    if leak.n > len(rows):
        raise InputError(f"--leak {leak}: the attacker has only {len(rows):,} photographs to show.")
    directions = nn.functional.normalize(descriptors)
    shown = directions[rows]
    return directions @ shown[spread(shown.double(), leak.n)].T
