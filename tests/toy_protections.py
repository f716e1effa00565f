"""A plugin for ``--plugin``: protections that leak everything, hide everything, or break the contract."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import Leak, Protection, ProtectionContext, ProtectionSpec, Recovered


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    own = {"summary": "s", "licence": "MIT"}
    return [
        ProtectionSpec(name="leaky", target="toy_protections:Leaky", attack="reading it", **own),
        ProtectionSpec(name="opaque", target="toy_protections:Opaque", keys="person", **own),
        ProtectionSpec(name="eager", target="toy_protections:Eager", **own),
    ]


class Leaky(Protection):
    """The descriptor backwards, which its author takes for a protection."""

    def __init__(self, context: ProtectionContext, *, offset: float = 0.0) -> None:
        self._offset = offset

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        return descriptors.flip(1) + self._offset

    def recover(self, leaks: Sequence[Leak], prior: Tensor) -> Recovered:
        return Recovered((leaks[0].templates - self._offset).flip(1), "reading it backwards")


class Opaque(Protection):
    """Numbers that depend on the key alone."""

    def __init__(self, context: ProtectionContext) -> None:
        self._dim = context.dim

    def protect(self, descriptors: Tensor, key: int) -> Tensor:
        return torch.randn(1, self._dim, generator=torch.Generator().manual_seed(key)).expand(len(descriptors), -1)


class Eager(Opaque):
    """Learns while it is built."""

    def __init__(self, context: ProtectionContext) -> None:
        super().__init__(context)
        context.examples()
