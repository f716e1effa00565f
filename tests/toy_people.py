"""A plugin for ``--plugin``: people of the toy generator with a few photographs each."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from faceinv import hookimpl
from faceinv.contracts import Dataset, DatasetContext, DatasetSpec

#: Number of photographs of each person; the third has only one.
PHOTOGRAPHS = [3, 2, 1, *[2] * 17]


@hookimpl
def faceinv_datasets() -> list[DatasetSpec]:
    return [DatasetSpec(name="toy-people", summary="People", target="toy_people:ToyPeople", licence="MIT")]


class ToyPeople(Dataset):
    """20 people; a photograph is the person's latent and a little noise."""

    def __init__(self, path: Path | None, *, context: DatasetContext) -> None:
        assert context.generator is not None
        self.framing = context.framing
        people = [f"person {person:02d}" for person, count in enumerate(PHOTOGRAPHS) for _ in range(count)]
        self.identities = people
        self.ids = [f"{name}/{number}" for number, name in enumerate(people)]
        rng = torch.Generator().manual_seed(5)
        who = {name: torch.randn(1, 6, generator=rng) for name in dict.fromkeys(people)}
        with torch.inference_mode():
            latents = torch.cat([who[name] + 0.25 * torch.randn(1, 6, generator=rng) for name in people])
            self._images = context.generator(latents, "z")

    def load(self, index: int) -> Tensor:
        return self._images[index]
