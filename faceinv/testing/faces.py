"""Drawn faces: a differentiable generator without weights that places a face according to a framing."""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.contracts.networks import Generator
from faceinv.contracts.specs import Framing
from faceinv.errors import ShapeError, unknown_name

#: A square frame with the face in the middle, for checks that need any framing.
FRAME = Framing("drawn", (64, 64), ((0.36, 0.44), (0.64, 0.44), (0.5, 0.6), (0.4, 0.74), (0.6, 0.74)))

#: Colours (R, G, B) of background, eyes, nose and mouth.
_BACKGROUND = (0.25, 0.32, 0.45)
_EYES, _NOSE, _MOUTH = (0.12, 0.10, 0.10), (0.62, 0.42, 0.34), (0.60, 0.15, 0.18)


class DrawnFaces(Generator):
    """Faces drawn from eight factors: shift, size, three of skin colour, eyes, mouth and light.

    Every factor is standard normal, acts smoothly, and changes the image noticeably around its default, so that
    attributes can be inferred from descriptors of such faces.

    Args:
        framing: Framing of the images.
    """

    points: Tensor
    grid: Tensor

    def __init__(self, framing: Framing = FRAME) -> None:
        super().__init__()
        height, width = framing.size
        y, x = torch.meshgrid((torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width, indexing="ij")
        self.register_buffer("grid", torch.stack([x, y]))
        self.register_buffer("points", torch.tensor(framing.points))

    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return ``(8,)``.

        Raises:
            UnknownNameError: if ``space`` is not ``"z"``.
        """
        if space != "z":
            raise unknown_name("latent space", space, ("z",))
        return (8,)

    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, 8)`` from the standard normal."""
        return torch.randn(n, *self.latent_shape(space), generator=rng, device=rng.device)

    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, H, W)`` in ``[0, 1]`` for latents ``(B, 8)``."""
        self._check(latents, space)
        factors = torch.tanh(latents / 2).T
        shift, size, red, green, blue, eyes, mouth, light = (factor.view(-1, 1, 1) for factor in factors)
        centre = self.points.mean(0)
        scale = 1 + 0.2 * size
        x = (self.grid[0] - centre[0] - 0.08 * shift) / scale + centre[0]
        y = (self.grid[1] - centre[1]) / scale + centre[1]
        # The unit of length is the distance between the eyes.
        unit = self.points[1, 0] - self.points[0, 0]
        skin = torch.stack([0.80 + 0.12 * red, 0.60 + 0.12 * green, 0.48 + 0.12 * blue], 1)
        image = self._colour(_BACKGROUND, x)
        image = _over(image, skin, _blob(x, y, centre, 1.25 * unit, 1.6 * unit, sharp=6.0))
        for point in self.points[:2]:
            image = _over(
                image, self._colour(_EYES, x), (0.7 + 0.3 * eyes) * _blob(x, y, point, 0.2 * unit, 0.14 * unit)
            )
        image = _over(image, self._colour(_NOSE, x), 0.6 * _blob(x, y, self.points[2], 0.14 * unit, 0.2 * unit))
        lips = self.points[3:].mean(0)
        shape = _blob(x, y, lips, 0.45 * unit, (0.16 + 0.08 * mouth) * unit)
        image = _over(image, self._colour(_MOUTH, x), 0.9 * shape)
        lit: Tensor = image * (0.85 + 0.12 * light[:, None])
        return lit.clamp(0, 1)

    def _check(self, latents: Tensor, space: str) -> None:
        if latents.shape[1:] != self.latent_shape(space):
            raise ShapeError(f"Latents of drawn faces must be (B, 8), got {tuple(latents.shape)}.")

    def _colour(self, colour: tuple[float, float, float], like: Tensor) -> Tensor:
        return torch.stack([torch.full_like(like, channel) for channel in colour], 1)


def draw_faces(n: int, framing: Framing = FRAME, seed: int = 0) -> Tensor:
    """Return ``n`` different drawn faces ``(n, 3, H, W)`` in ``[0, 1]`` with this ``framing``."""
    generator = DrawnFaces(framing)
    with torch.no_grad():
        images: Tensor = generator(generator.sample(n, "z", torch.Generator().manual_seed(seed)), "z")
    return images


def _blob(x: Tensor, y: Tensor, centre: Tensor, rx: Tensor, ry: Tensor, sharp: float = 2.0) -> Tensor:
    """Return a soft ellipse: 1 inside, falling to 0 around the edge."""
    distance = ((x - centre[0]) / rx).square() + ((y - centre[1]) / ry).square()
    return torch.sigmoid(sharp * (1 - distance))


def _over(image: Tensor, colour: Tensor, cover: Tensor) -> Tensor:
    return image + (colour - image) * cover[:, None]
