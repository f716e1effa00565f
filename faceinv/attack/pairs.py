"""Synthetic (latent, descriptor, attribute) triples, which an attacker can make without any data.

The paper trains its latent regressor on pairs sampled from the generator (section 4.1). Probes are trained on the
same pairs here, so that an attack needs no data set. Pairs and synthetic targets come from different streams of
latents, so that no target is ever trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.attack.ceiling import ImageSums
from faceinv.contracts.probes import Probe
from faceinv.contracts.progress import Reporter
from faceinv.models.batching import batch_size_for
from faceinv.models.loader import FramedEncoder, LoadedGenerator
from faceinv.storage.hashing import seed_of

#: Samples at a time where nothing is embedded; latents are drawn in as many, which decides what they are.
_BATCH = 64


@dataclass(frozen=True)
class Pairs:
    """Latents, and the descriptors of the images generated from them.

    Args:
        latents: ``(N, *latent_shape)``.
        descriptors: ``(N, D)`` of the attacked encoder.
    """

    latents: Tensor
    descriptors: Tensor


def sample_pairs(
    encoder: FramedEncoder,
    generator: LoadedGenerator,
    space: str,
    n: int,
    seed: int,
    probes: Mapping[str, Probe],
    progress: Reporter | None = None,
) -> tuple[Pairs, dict[str, Tensor], ImageSums]:
    """Sample ``n`` images of the generator and embed them; measure in the same pass what else is learnt from them.

    Returns the pairs, each probe's labels of the images, and the sums for the expected image.

    Args:
        encoder: The attacked encoder, for images in the generator's framing.
        generator: Source of the latents.
        space: Latent space.
        n: Number of pairs.
        seed: Seed of the stream of latents.
        probes: Probes that label the images, by name.
        progress: Called with (what, done, of).
    """
    # On the CPU, so that the pairs are the same on every device.
    rng = torch.Generator().manual_seed(seed_of(f"faceinv training pairs {seed}"))
    latents = torch.cat([generator.network.sample(min(_BATCH, n - i), space, rng) for i in range(0, n, _BATCH)])
    descriptors = torch.empty(n, encoder.dim)
    labels = {name: torch.empty(n, *probe.shape) for name, probe in probes.items()}
    sums = ImageSums(encoder.dim, generator.framing.size)
    with torch.inference_mode():
        one = generator.network(latents[:1].to(generator.device), space)
        # Twice as many as stay in the cache: measured, the fastest or next to it for three encoders.
        size = 2 * batch_size_for(lambda: encoder(one), encoder, generator.device)
        for part, images in _images(latents, generator, space, "embedding samples", progress, size):
            descriptors[part] = encoder(images).float().cpu()
            sums.add(descriptors[part], images)
            for name, probe in probes.items():
                labels[name][part] = probe.label(images).float().cpu()
    return Pairs(latents.float().cpu(), descriptors), labels, sums


def label_pairs(
    latents: Tensor, probe: Probe, generator: LoadedGenerator, space: str, progress: Reporter | None = None
) -> Tensor:
    """Return the probe's labels ``(N, *shape)`` of the images generated from ``latents`` ``(N, *latent_shape)``."""
    labels = torch.empty(len(latents), *probe.shape)
    with torch.inference_mode():
        for part, images in _images(latents, generator, space, "labelling samples", progress):
            labels[part] = probe.label(images).float().cpu()
    return labels


def sum_images(pairs: Pairs, generator: LoadedGenerator, space: str, progress: Reporter | None = None) -> ImageSums:
    """Return the sums for the expected image of pairs that were sampled without them."""
    sums = ImageSums(pairs.descriptors.shape[1], generator.framing.size)
    with torch.inference_mode():
        for part, images in _images(pairs.latents, generator, space, "expected images", progress):
            sums.add(pairs.descriptors[part], images)
    return sums


def _images(
    latents: Tensor,
    generator: LoadedGenerator,
    space: str,
    what: str,
    progress: Reporter | None,
    size: int = _BATCH,
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the images of all latents in batches, each with its rows."""
    n = len(latents)
    for first in range(0, n, size):
        part = slice(first, min(first + size, n))
        yield part, generator.network(latents[part].to(generator.device), space)
        if progress:
            progress(what, part.stop, n)
