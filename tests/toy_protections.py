"""A plugin for ``--plugin``: protections that leak everything, hide everything, or break the contract."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import (
    Dataset,
    DatasetContext,
    DatasetSpec,
    Leak,
    Protection,
    ProtectionContext,
    ProtectionSpec,
    Recovered,
)


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="toy-crowd", summary="People", target="toy_protections:ToyCrowd", licence="MIT")]


@hookimpl
def faceinv_protections() -> list[ProtectionSpec]:
    own = {"summary": "s", "licence": "MIT"}
    return [
        ProtectionSpec(name="leaky", target="toy_protections:Leaky", attack="reading it", **own),
        ProtectionSpec(name="opaque", target="toy_protections:Opaque", keys="person", **own),
        ProtectionSpec(name="eager", target="toy_protections:Eager", **own),
    ]


class ToyCrowd(Dataset):
    """Two photographs of each of 75 people, annotated as bright or dark, and with a label that everybody has."""

    def __init__(self, path: Path | None, *, context: DatasetContext) -> None:
        assert context.generator is not None
        self.framing = context.framing
        self.ids = [f"{row:03d}" for row in range(150)]
        self.identities = [f"person {row // 2}" for row in range(150)]
        people = torch.randn(75, 6, generator=torch.Generator().manual_seed(6)).repeat_interleave(2, 0)
        with torch.inference_mode():
            self._images = context.generator(people + 0.2 * people.roll(1, 1) * torch.arange(150)[:, None] % 2, "z")
        light = self._images.mean((1, 2, 3))
        self.annotations = {"bright": (light > light.median()).float(), "human": torch.ones(150)}

    def load(self, index: int) -> Tensor:
        return self._images[index]


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
