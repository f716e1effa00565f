"""The generator, from latents to images."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.contracts import Generator
from faceinv.errors import ShapeError, unknown_name

LATENT = 32


class MyGenerator(Generator):
    """A small network with random weights; replace it with your own."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):  # leave the global random state alone
            torch.manual_seed(0)
            self.layers = nn.Sequential(
                nn.Linear(LATENT, 32 * 8 * 8),
                nn.GELU(),
                nn.Unflatten(1, (32, 8, 8)),
                nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
                nn.GELU(),
                nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1),
                nn.GELU(),
                nn.ConvTranspose2d(8, 3, 4, stride=2, padding=1),
            )

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the shape of one latent: ``(32,)``."""
        if space != "z":
            raise unknown_name("latent space", space, ("z",))
        return (LATENT,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, 32)`` from the standard normal."""
        return torch.randn(n, *self.latent_shape(space), generator=rng, device=rng.device)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, 64, 64)`` in ``[0, 1]``."""
        self._check(latents, space)
        return torch.sigmoid(4 * self.layers(latents))

    def _check(self, latents: Tensor, space: str) -> None:
        if latents.shape[1:] != self.latent_shape(space):
            raise ShapeError(f"Latents must be (B, {LATENT}), got {tuple(latents.shape)}.")
