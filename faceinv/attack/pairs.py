"""Synthetic (latent, descriptor, attribute) triples, which an attacker can make without any data.

The paper trains its latent regressor on pairs sampled from the generator (section 4.1). Probes are trained on the
same pairs here, so that an attack needs no data set. Pairs and synthetic targets come from different streams of
latents, so that no target is ever trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from faceinv.contracts.probes import Probe
from faceinv.contracts.progress import Reporter
from faceinv.models.loader import FramedEncoder, LoadedGenerator
from faceinv.storage.hashing import fingerprint, seed_of
from faceinv.storage.tensors import load_or_make

_BATCH = 64


@dataclass(frozen=True)
class Pairs:
    """Latents, and the descriptors of the images generated from them.

    Args:
        latents: ``(N, *latent_shape)``.
        descriptors: ``(N, D)`` of the attacked encoder.
        key: Hash of everything that they depend on.
    """

    latents: Tensor
    descriptors: Tensor
    key: str


def make_pairs(
    encoder: FramedEncoder,
    generator: LoadedGenerator,
    space: str,
    n: int,
    seed: int,
    folder: Path,
    parts: Mapping[str, object],
    progress: Reporter | None = None,
    probes: Mapping[str, Probe] | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Pairs:
    """Sample ``n`` images of the generator and embed them; read them from the cache if they are there.

    Args:
        encoder: The attacked encoder, for images in the generator's framing.
        generator: Source of the latents.
        space: Latent space.
        n: Number of pairs.
        seed: Seed of the stream of latents.
        folder: Cache folder.
        parts: Provenance of encoder, generator and core, for the key.
        progress: Called with (what, done, of).
        probes: Probes that label the images in the same pass, by the key that :func:`label_pairs` will ask
            for. This avoids generating the images once more per probe.
        say: Called with a line if cached pairs or labels cannot be used.
    """
    probes = probes or {}
    key = fingerprint(
        {
            "version": 2,
            "parts": dict(parts),
            "crop": encoder.spec.framing,
            "framing": generator.framing,
            "space": space,
            "n": n,
            "seed": seed,
        }
    )

    def make() -> dict[str, Tensor]:
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
        for name, measured in labels.items():
            load_or_make(_labels_path(folder, key, name), partial(dict, labels=measured), say)
        return {"latents": latents.float().cpu(), "descriptors": descriptors}

    tensors = load_or_make(folder / f"pairs-{key}.safetensors", make, say)
    return Pairs(tensors["latents"], tensors["descriptors"], key)


def label_pairs(
    pairs: Pairs,
    probe: Probe,
    probe_key: str,
    generator: LoadedGenerator,
    space: str,
    folder: Path,
    progress: Reporter | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Tensor:
    """Return the probe's labels ``(N, *shape)`` of the pairs' images; measure them unless they are in the cache."""

    def make() -> dict[str, Tensor]:
        n = len(pairs.latents)
        labels = torch.empty(n, *probe.shape)
        device = generator.device
        with torch.inference_mode():
            for first in range(0, n, _BATCH):
                part = slice(first, first + _BATCH)
                images = generator.network(pairs.latents[part].to(device), space)
                labels[part] = probe.label(images).float().cpu()
                if progress:
                    progress("labelling samples", min(first + _BATCH, n), n)
        return {"labels": labels}

    return load_or_make(_labels_path(folder, pairs.key, probe_key), make, say)["labels"]


def _labels_path(folder: Path, pairs_key: str, probe_key: str) -> Path:
    return folder / f"labels-{fingerprint({'pairs': pairs_key, 'probe': probe_key})}.safetensors"
