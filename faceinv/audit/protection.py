"""Templates in place of descriptors: readers are trained anew on them, as an attacker would who knows the scheme."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from faceinv.attack.protected import ProtectedSystem
from faceinv.audit.material import Material
from faceinv.bank.bank import Bank
from faceinv.contracts.protection_specs import ATTRIBUTE, KEY_SECRET, ProtectionContext
from faceinv.contracts.protections import Protection
from faceinv.contracts.specs import EncoderSpec
from faceinv.errors import unknown_name
from faceinv.plugins.host import Host
from faceinv.plugins.protections import parse_protection

#: Photographs that a protection learns from at most.
_EXAMPLES = 10_000


def protected_bank(
    bank: Bank,
    text: str,
    threat: str,
    encoder: EncoderSpec,
    material: Material,
    train: Tensor,
    test: Tensor,
    host: Host,
) -> Bank:
    """Return the bank with templates in place of descriptors.

    All are under one key if the attacker knows it, or has own faces under it: readers learn from photographs that are
    protected under the key, and which key it is makes no difference on average. Without the key, readers learn from
    templates under keys of the attacker's own, and are scored on templates under the keys of the people.

    Args:
        bank: The photographs.
        text: The protection, as on the command line.
        threat: What the attacker has, one of :data:`faceinv.contracts.THREATS`.
        encoder: The encoder's declaration.
        material: The attributes of the photographs, which protections may learn to hide.
        train: Rows of the training part, the only ones that a protection learns from.
        test: Rows of the photographs that readers are scored on.
        host: The plugins.
    """
    found = parse_protection(text, encoder.dim, host)
    assert found is not None, "only of a protection"
    spec, options = found
    names = {item.name: item for item in material.chosen}
    hidden = options.get(ATTRIBUTE)
    if hidden is not None and hidden not in names:
        raise unknown_name("attribute of the protection", str(hidden), names)
    rows = train if hidden is None else train[material.known(names[str(hidden)])[train]]
    rows = rows[:_EXAMPLES]
    descriptors = nn.functional.normalize(bank.descriptors)

    def examples() -> Tensor:
        return descriptors[rows]

    context = ProtectionContext(
        encoder.dim, material.settings.seed, examples, lambda name: material.labels[name][rows].flatten(1)
    )
    built: Protection = host.build(spec, context, **options)
    system = ProtectedSystem(spec, built, seed=material.settings.seed, threat=threat, prior=examples)
    keys = [system.key("everybody")] * len(descriptors)
    if threat == KEY_SECRET:
        keys = [system.own_keys[row % len(system.own_keys)] for row in range(len(descriptors))]
        for row in test.tolist():
            keys[row] = system.key(material.people[row])
    # Rows without a face hold NaN, which no scheme has to accept.
    templates = system.numbers(system.under(keys, descriptors.nan_to_num()))
    templates[~bank.usable] = torch.nan
    return replace(bank, descriptors=templates)
