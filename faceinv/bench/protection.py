"""The part of a cell's record that concerns its protection."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor, nn

from faceinv.attack.protected import ProtectedSystem
from faceinv.bench.cell import Cell
from faceinv.contracts.protections import Recovered
from faceinv.data.targets import Targets
from faceinv.scoring.gallery import Gallery
from faceinv.scoring.protection import KEYS, irreversibility, unlinkability, utility
from faceinv.scoring.recognition import cosines_of_pairs
from faceinv.scoring.statistics import estimate

#: Names of the descriptors among what was read from the leak: what is stored behind the protection, and what came back.
LEAKED, RECOVERED = "leaked descriptor", "recovered descriptor"
#: Photographs whose templates are compared under different keys.
_LINKED = 400


def people_of(targets: Targets) -> Sequence[str]:
    """Return the person in each target; a target of unknown identity is a person of its own."""
    return targets.identities if targets.identities is not None else targets.ids


def attack_facts(recovered: Recovered) -> dict[str, Any]:
    """Return the facts of a part about how descriptors were recovered."""
    found = {"attack": recovered.attack, "budget": dict(recovered.budget), "tried": dict(recovered.tried)}
    return {"recovery": found}


def protection_facts(
    system: ProtectedSystem,
    cell: Cell,
    targets: Targets,
    leaked: Tensor,
    recovered: Tensor,
    facts: Mapping[str, Any],
    gallery: Gallery | None,
) -> tuple[dict[str, Any], float]:
    """Return the block of the record, and the seconds that protecting one descriptor takes.

    Args:
        system: The protected system.
        cell: The cell.
        targets: Its targets.
        leaked: Their descriptors ``(N, D)``.
        recovered: What the attacker recovered of them ``(N, D)``.
        facts: Facts of the cell's parts, with the attack and its budget.
        gallery: Photographs that encoders are judged on; ``None`` if no score needs any.
    """
    people, spec = people_of(targets), system.spec
    began = time.perf_counter()
    templates = system.store(leaked, people)
    seconds = (time.perf_counter() - began) / len(leaked)
    cosines = cosines_of_pairs(recovered, leaked)
    block: dict[str, Any] = {
        "scheme": cell.protection,
        "options": dict(cell.protection_options),
        "threat": cell.threat,
        "issued": cell.issued,
        "keys": spec.keys,
        "output": spec.output,
        "comparison": spec.comparison,
        "length": templates.shape[1],
        "bytes": _bytes(templates, spec.output),
        "plain_bytes": 4 * leaked.shape[1],
        **facts["recovery"],
        "adaptive": system.adaptive,
        "prior": len(system.prior),
        "cosine": asdict(estimate(cosines.numpy(), people=people)),
    }
    if gallery is None:
        return block, seconds
    photographs, key = nn.functional.normalize(gallery.descriptors[cell.encoder]), system.key("judged")
    protection = system.protection
    found = utility(
        protection.protect(photographs, key), protection.present(photographs, key), protection.compare,
        photographs, gallery.people,
    )  # fmt: skip
    source = {"source": cell.recognition}
    thresholds = {row["fmr"]: (row["threshold"], row["plain_threshold"]) for row in found["rates"]}
    scores = system.accepted(templates, recovered, people)
    block |= {
        "utility": found | source,
        "irreversibility": irreversibility(scores, cosines, thresholds, people),
    }
    if spec.keys != "none" and gallery.known:
        few = gallery.first_people(_LINKED)
        block["unlinkability"] = unlinkability(
            protection.protect, protection.present, protection.compare,
            nn.functional.normalize(few.descriptors[cell.encoder]), few.people,
            [system.key("judged", number) for number in range(KEYS)],
        )  # fmt: skip
    return block, seconds


def _bytes(templates: Tensor, output: str) -> int:
    """Return the bytes of one template."""
    values = int(templates.max()) + 1 if output != "real" else 0
    bits = 32 if output == "real" else max(1, math.ceil(math.log2(max(2, values))))
    return math.ceil(templates.shape[1] * bits / 8)
