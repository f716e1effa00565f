"""The chain in which losses, methods and probes are checked: drawn faces, a toy encoder, a perfect reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faceinv.contracts.losses import LossContext
from faceinv.contracts.methods import Candidate
from faceinv.contracts.specs import Framing, LossSpec
from faceinv.framing import warp_between
from faceinv.probes.whitening import Whitening
from faceinv.testing.faces import FRAME, DrawnFaces
from faceinv.testing.toy import FRAMING as TOY_FRAMING
from faceinv.testing.toy_networks import ToyEncoder

if TYPE_CHECKING:
    from faceinv.models.loader import Loader

#: Number of faces that probes are trained and tested on.
_TRAIN, _TEST = 240, 60


@dataclass(frozen=True)
class Chain:
    """A generator and an encoder for checking everything else.

    Args:
        generator: From eight factors to 64×64 faces.
        encode: From those images to descriptors ``(B, 12)``, differentiable.
    """

    generator: DrawnFaces
    encode: Callable[[Tensor], Tensor]

    @property
    def framing(self) -> Framing:
        """The framing of the faces."""
        return FRAME

    def sample(self, n: int, seed: int) -> Candidate:
        """Return ``n`` faces with their latents and descriptors."""
        dtype = self.generator.points.dtype
        latents = self.generator.sample(n, "z", torch.Generator().manual_seed(seed)).to(dtype)
        return self.candidate(latents)

    def candidate(self, latents: Tensor) -> Candidate:
        """Return the faces for these latents ``(B, 8)``; differentiable."""
        images = self.generator(latents, "z")
        return Candidate(latents, images, self.encode(images))


@cache
def chain(dtype: torch.dtype = torch.float32) -> Chain:
    """Return the chain in this dtype."""
    generator = DrawnFaces().to(dtype).eval().requires_grad_(False)
    encoder = ToyEncoder().to(dtype).eval().requires_grad_(False)
    warp = warp_between(FRAME, TOY_FRAMING).to(dtype)
    return Chain(generator, lambda images: encoder(warp(images)))


def fit(descriptors: Tensor, targets: Tensor) -> Callable[[Tensor], Tensor]:
    """Return a ridge regression on descriptors and their pairwise products, fitted in closed form.

    Args:
        descriptors: Inputs, ``(N, D)``.
        targets: Outputs, ``(N, k)``.
    """
    mean, scale = descriptors.mean(0), descriptors.std(0).clamp_min(1e-6)
    rows, columns = torch.triu_indices(descriptors.shape[1], descriptors.shape[1])

    def features(given: Tensor) -> Tensor:
        x = (given - mean) / scale
        return torch.cat([torch.ones_like(x[:, :1]), x, x[:, rows] * x[:, columns]], 1)

    design = features(descriptors)
    penalty = 1e-2 * len(design) * torch.eye(design.shape[1], dtype=design.dtype)
    weights = torch.linalg.solve(design.T @ design + penalty, design.T @ targets)
    return lambda given: features(given) @ weights


@cache
def start() -> Callable[[Tensor], Tensor]:
    """Return a regressor from the chain's descriptors ``(B, 12)`` to its latents ``(B, 8)``.

    It goes only half the way, so that there is something left for a method to improve.
    """
    with torch.no_grad():
        faces = chain().sample(_TRAIN, 11)
    assert faces.latents is not None
    read = fit(faces.descriptors, faces.latents)
    return lambda descriptors: read(descriptors) / 2


@cache
def train_and_test() -> tuple[Candidate, Candidate]:
    """Return the faces that a probe is trained on, and those that it is tested on."""
    with torch.no_grad():
        return chain().sample(_TRAIN, 12), chain().sample(_TEST, 13)


@cache
def targets(dtype: torch.dtype = torch.float32) -> Candidate:
    """Return the two faces whose descriptors are the targets of a loss."""
    with torch.no_grad():
        return chain(dtype).sample(2, 14)


@cache
def _whitening() -> Whitening:
    descriptors = train_and_test()[0].descriptors
    return Whitening.fitted(descriptors, torch.arange(len(descriptors)))


def loss_context(spec: LossSpec, loader: Loader) -> LossContext:
    """Return the context for building a loss; the reader of an attribute loss makes no error on the targets."""
    if not spec.probe:
        return LossContext("balanced", descriptor_variance=1.0, whitening=_whitening())
    probe = loader.probe(spec.probe, FRAME)
    faces = targets(loader.dtype)
    with torch.no_grad():
        truth = probe.measure(faces.images)

    def read(descriptors: Tensor) -> Tensor:
        # Only the targets' descriptors are ever given; the nearest one is the target itself.
        nearest = torch.cdist(descriptors, faces.descriptors).argmin(1)
        return truth[nearest]

    return LossContext("balanced", 1.0, probe, read)
