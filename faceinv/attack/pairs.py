"""Synthetic (latent, descriptor, attribute) triples, which an attacker can make without any data.

The paper trains its latent regressor on pairs sampled from the generator (section 4.1). Probes are trained on the
same pairs here, so that an attack needs no data set. Pairs and synthetic targets come from different streams of
latents, so that no target is ever trained on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from faceinv.contracts.probes import Probe
from faceinv.contracts.progress import Reporter
from faceinv.models.loader import FramedEncoder, LoadedGenerator
from faceinv.storage.hashing import seed_of

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
) -> tuple[Pairs, dict[str, Tensor]]:
    """Sample ``n`` images of the generator and embed them; return the pairs, and each probe's labels of the images.

    Args:
        encoder: The attacked encoder, for images in the generator's framing.
        generator: Source of the latents.
        space: Latent space.
        n: Number of pairs.
        seed: Seed of the stream of latents.
        probes: Probes that label the images in the same pass, by name. This avoids generating the images once more
            per probe.
        progress: Called with (what, done, of).
    """
    device = generator.device
    # On the CPU, so that the pairs are the same on every device.
    rng = torch.Generator().manual_seed(seed_of(f"faceinv training pairs {seed}"))
    latents = torch.cat([generator.network.sample(min(_BATCH, n - i), space, rng) for i in range(0, n, _BATCH)])
    descriptors = torch.empty(n, encoder.dim)
    labels = {name: torch.empty(n, *probe.shape) for name, probe in probes.items()}
    with torch.inference_mode():
        for first in range(0, n, _BATCH):
            part = slice(first, first + _BATCH)
            images = generator.network(latents[part].to(device), space)
            descriptors[part] = encoder(images).float().cpu()
            for name, probe in probes.items():
                labels[name][part] = probe.label(images).float().cpu()
            if progress:
                progress("embedding samples", min(first + _BATCH, n), n)
    return Pairs(latents.float().cpu(), descriptors), labels


def label_pairs(
    latents: Tensor, probe: Probe, generator: LoadedGenerator, space: str, progress: Reporter | None = None
) -> Tensor:
    """Return the probe's labels ``(N, *shape)`` of the images generated from ``latents`` ``(N, *latent_shape)``."""
    n = len(latents)
    labels = torch.empty(n, *probe.shape)
    device = generator.device
    with torch.inference_mode():
        for first in range(0, n, _BATCH):
            part = slice(first, first + _BATCH)
            images = generator.network(latents[part].to(device), space)
            labels[part] = probe.label(images).float().cpu()
            if progress:
                progress("labelling samples", min(first + _BATCH, n), n)
    return labels
