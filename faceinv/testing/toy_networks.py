"""The networks behind :mod:`faceinv.testing.toy`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.contracts.data import Dataset, DatasetContext
from faceinv.contracts.networks import Generator, check_images
from faceinv.contracts.probes import Probe
from faceinv.contracts.specs import Framing
from faceinv.errors import ShapeError, unknown_name


class ToyEncoder(nn.Module):
    """A fixed random network from 16×16 images to 12 numbers.

    Args:
        seed: Seed of its weights.
    """

    def __init__(self, seed: int = 1) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.first = nn.Parameter(torch.randn(3 * 64, 24, generator=rng) / 8)
        self.second = nn.Parameter(torch.randn(24, 12, generator=rng) / 5)

    def forward(self, images: Tensor) -> Tensor:
        """Return descriptors ``(B, 12)`` of images ``(B, 3, 16, 16)``."""
        check_images(images, (16, 16))
        pooled = nn.functional.avg_pool2d(images - 0.5, 2).flatten(1)
        descriptors: Tensor = torch.tanh(pooled @ self.first) @ self.second
        return descriptors


class ToyGenerator(Generator):
    """Smooth images from six factors; ``w`` is ``z`` divided by two."""

    def __init__(self) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        basis = nn.functional.interpolate(torch.randn(6, 3, 4, 4, generator=rng), size=(16, 16), mode="bicubic")
        self.basis = nn.Parameter(basis.flatten(1))

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return ``(6,)``.

        Raises:
            UnknownNameError: if ``space`` is neither ``"z"`` nor ``"w"``.
        """
        if space not in ("z", "w"):
            raise unknown_name("latent space", space, ("z", "w"))
        return (6,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, 6)`` from the standard normal, halved in ``w``."""
        z = torch.randn(n, *self.latent_shape(space), generator=rng, device=rng.device)
        return z / 2 if space == "w" else z

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, 16, 16)`` in ``[0, 1]``.

        Raises:
            ShapeError: if the latents are not ``(B, 6)``.
        """
        if latents.shape[1:] != self.latent_shape(space):
            raise ShapeError(f"Latents of the toy generator must be (B, 6), got {tuple(latents.shape)}.")
        z = latents * 2 if space == "w" else latents
        return torch.sigmoid(z @ self.basis).view(-1, 3, 16, 16)


class BrightnessProbe(Probe):
    """The mean of each colour channel, in 0–1.

    Args:
        framing: Unused: brightness does not depend on the face.
    """

    shape = (3,)

    def __init__(self, *, framing: Framing) -> None:
        pass

    def label(self, images: Tensor) -> Tensor:
        """Return the means ``(B, 3)``."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the means ``(B, 3)``."""
        return images.mean((2, 3))

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the mean absolute error in grey levels of 255, ``(B,)``."""
        return 255 * (predicted - truth).abs().mean(1)


class ToyTargets(Dataset):
    """Samples of the run's generator.

    Args:
        path: Unused.
        context: Generator, seed and limit.
    """

    def __init__(self, path: Path | None, *, context: DatasetContext) -> None:
        assert context.generator is not None
        self.framing = context.framing
        self.ids = [f"toy-{index}" for index in range(context.limit or 16)]
        rng = torch.Generator().manual_seed(10_000 + context.seed)
        with torch.inference_mode():
            latents = context.generator.sample(len(self.ids), context.space, rng)
            self._images = context.generator(latents, context.space)
        weights = context.generator.state_dict().values()
        parts = (f"{context.seed} {context.space} {len(self.ids)}".encode(), *(w.numpy().tobytes() for w in weights))
        self._made_of = hashlib.sha256(b" ".join(parts)).hexdigest()[:16]

    def fingerprint(self) -> str:
        """Return a hash of what determines the images: their last bits depend on the number of threads."""
        return self._made_of

    def load(self, index: int) -> Tensor:
        """Return image ``index`` ``(3, 16, 16)``."""
        image: Tensor = self._images[index]
        return image
