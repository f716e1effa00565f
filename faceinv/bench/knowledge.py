"""Photographs, or samples, embedded by two encoders: what an attacker has who cannot run the encoder that leaked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from faceinv.bench import apart
from faceinv.bench.cell import Cell
from faceinv.contracts.data import Dataset
from faceinv.contracts.networks import Detector
from faceinv.data.alignment import aligned_images, needs_detector
from faceinv.data.targets import Targets
from faceinv.errors import InputError
from faceinv.models.loader import FramedEncoder, Loader
from faceinv.scoring.pairs import embed_all
from faceinv.storage.hashing import seed_of
from faceinv.storage.tensors import TensorCache

#: Images that are embedded, and kept in the cache, at a time.
_CHUNK = 250

Chunks = Iterator[tuple[Tensor, Tensor]]


class PairSource:
    """Embeds images by the encoder that leaked and by the attacker's own, both through the generator's framing.

    Args:
        loader: Builds the networks.
        cell: Names the encoders and the generator.
        cache: Keeps the descriptors.
        detector: Finds faces in photographs without a framing.
    """

    def __init__(self, loader: Loader, cell: Cell, cache: TensorCache, detector: Callable[[], Detector]) -> None:
        self._loader, self._cell, self._cache, self._detector = loader, cell, cache, detector
        self._generator = loader.generator(cell.generator)
        self._encoders = [
            FramedEncoder(loader.encoder(name), self._generator.framing).to(loader.device, loader.dtype)
            for name in (cell.encoder, cell.surrogate)
        ]
        host = loader.host
        self._made_of: dict[str, object] = {
            "encoders": [loader.provenance(encoder.spec) for encoder in self._encoders],
            "generator": loader.provenance(host.spec("generator", cell.generator)),
        }

    def of_photographs(self, dataset: Dataset, targets: Targets) -> Chunks:
        """Yield descriptors of photographs of people who are not targets, in an order that the seed decides."""
        free = (~apart.of_people(dataset, targets)).nonzero().flatten()
        rng = torch.Generator().manual_seed(seed_of(f"knowledge {self._cell.seed}"))
        order = free[torch.randperm(len(free), generator=rng)].tolist()
        detector = self._detector() if needs_detector(dataset) else None
        framing = self._generator.framing

        def images(rows: list[int]) -> Tensor:
            found = [image for _, image in aligned_images(dataset, rows, framing, detector)
                     if not isinstance(image, InputError)]  # fmt: skip
            return torch.stack(found) if found else torch.empty(0, 3, *framing.size)

        told = {"images": dataset.fingerprint(), "detector": self._cell.detector if detector else ""}
        for first in range(0, len(order), _CHUNK):
            rows = order[first : first + _CHUNK]
            yield self._embedded(told | {"rows": rows}, partial(images, rows))

    def of_samples(self) -> Chunks:
        """Yield descriptors of samples of the generator, without end."""
        rng = torch.Generator().manual_seed(seed_of(f"knowledge {self._cell.seed}"))
        network, space = self._generator.network, self._cell.space
        number = 0
        while True:
            latents = network.sample(_CHUNK, space, rng)

            def images(latents: Tensor = latents) -> Tensor:
                with torch.inference_mode():
                    shown: Tensor = network(latents.to(self._loader.device, self._loader.dtype), space)
                return shown.float().cpu()

            yield self._embedded({"space": space, "seed": self._cell.seed, "chunk": number}, images)
            number += 1

    def _embedded(self, parts: dict[str, object], images: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
        def make() -> dict[str, Tensor]:
            shown = images()
            leaked, own = (embed_all(encoder, shown, device=self._loader.device) for encoder in self._encoders)
            return {"leaked": leaked, "own": own}

        found = self._cache.load_or_make("knowledge pairs", self._made_of | parts, make, bulky=True)
        return found["leaked"], found["own"]
