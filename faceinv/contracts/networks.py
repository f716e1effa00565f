"""The generator and detector interfaces, and the check of the image contract."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from faceinv.errors import ShapeError


def check_images(images: Tensor, size: tuple[int, int] | None = None) -> None:
    """Raise an error unless ``images`` are floating point ``(B, 3, H, W)``.

    Args:
        images: The images.
        size: Required height and width.

    Raises:
        ShapeError: if shape, size or dtype is wrong.
    """
    if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
        given = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
        raise ShapeError(f"Images must be (B, 3, H, W), got {given}.")
    if not images.is_floating_point():
        raise ShapeError(f"Images must be floating point in [0, 1], got {images.dtype}; divide 8-bit values by 255.")
    if size is not None and tuple(images.shape[2:]) != tuple(size):
        raise ShapeError(f"Images must be {size[0]}x{size[1]} pixels, got {images.shape[2]}x{images.shape[3]}.")


class Generator(nn.Module, ABC):
    """A frozen face generator."""

    @abstractmethod
    def latent_shape(self, space: str) -> tuple[int, ...]:
        """Return the shape of one latent of this ``space``, such as ``(512,)`` or ``(18, 512)``."""

    @abstractmethod
    def sample(self, n: int, space: str, rng: torch.Generator) -> Tensor:
        """Draw ``n`` latents ``(n, *latent_shape)`` from ``rng``, on its device."""

    @abstractmethod
    def forward(self, latents: Tensor, space: str) -> Tensor:
        """Return images ``(B, 3, H, W)`` in ``[0, 1]`` for ``latents`` ``(B, *latent_shape)``."""


class Detector(Protocol):
    """A face detector."""

    def __call__(self, image: Tensor) -> Faces:
        """Return the faces in one image ``(3, H, W)`` in ``[0, 1]``, most prominent first."""
        ...


@dataclass(frozen=True)
class Faces:
    """Faces found in one image.

    Args:
        boxes: ``(n, 4)``: left, top, right and bottom in pixels.
        points: ``(n, 5, 2)``: the five points of a framing as (x, y) in pixels, where the centre of the first
            pixel is (0.5, 0.5).
        scores: ``(n,)``: confidence in ``[0, 1]``.
    """

    boxes: Tensor
    points: Tensor
    scores: Tensor

    def __len__(self) -> int:
        return len(self.scores)
