"""A plugin for ``--plugin``: photographs of people, without names or too few of them, with an annotation."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import Dataset, DatasetContext, DatasetSpec, Framing, Probe, ProbeSpec
from faceinv.testing.toy import FRAMING
from faceinv.testing.toy_networks import ToyGenerator

#: Photographs of each person.
EACH = 3


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    def spec(name: str, **options: object) -> DatasetSpec:
        target = "toy_crowd:ToyCrowd"
        return DatasetSpec(name=name, summary="Photographs", target=target, licence="MIT", options=options)

    return [
        spec("toy-crowd"),
        spec("toy-nameless", named=False),
        spec("toy-strangers", named=False, first=10),
        spec("toy-few", people=10),
    ]


@hookimpl
def faceinv_probes() -> list[ProbeSpec]:
    return [ProbeSpec(name="glow", summary="Mean of all pixels", target="toy_crowd:Glow", licence="MIT")]


class Glow(Probe):
    shape = (1,)

    def __init__(self, *, framing: Framing) -> None:
        pass

    def label(self, images: Tensor) -> Tensor:
        return images.mean((1, 2, 3))[:, None]

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        return (predicted - truth).abs().sum(1)


class ToyCrowd(Dataset):
    """``people`` people from the number ``first`` on; a photograph depends on its person and its number alone."""

    def __init__(
        self, path: Path | None, *, context: DatasetContext, people: int = 80, first: int = 0, named: bool = True
    ) -> None:
        self.framing = FRAMING
        numbers = [(person, photograph) for person in range(first, first + people) for photograph in range(EACH)]
        self.ids = [f"{person:03d}/{photograph}" for person, photograph in numbers]
        if named:
            self.identities = [f"person {person:03d}" for person, _ in numbers]
        latents = torch.stack([_drawn(person) + _drawn(1000 + person * EACH + other) / 4 for person, other in numbers])
        with torch.inference_mode():
            self._images = ToyGenerator()(latents, "z")
        # As somebody sees it, who cannot tell for every tenth photograph.
        seen = 10 * self._images.mean((1, 2, 3))
        self.annotations = {"Glow": torch.where(torch.arange(len(seen)) % 10 == 0, torch.nan, seen)}

    def load(self, index: int) -> Tensor:
        return self._images[index]


def _drawn(seed: int) -> Tensor:
    return torch.randn(6, generator=torch.Generator().manual_seed(seed))
