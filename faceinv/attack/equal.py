"""Several answers to one descriptor brought to one cosine: each is taken back towards its start."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

#: Halvings of the way between two latents: a cosine on it is then known to a few thousandths.
HALVINGS = 8


def at_equal_cosine(
    starts: Sequence[Tensor], ends: Sequence[Tensor], wanted: Tensor, embed: Callable[[Tensor], Tensor]
) -> tuple[list[Tensor], Tensor]:
    """Return latents of each answer ``(B, *latent_shape)`` at one cosine for each target, and the cosines before.

    That cosine is the lowest that any of a target's answers reached. The others are taken back on the straight line to
    their starts until they have it; an answer whose start is above it stays at the start.

    Args:
        starts: Latents that each answer's search started from, ``(B, *latent_shape)``.
        ends: Latents that it found.
        wanted: What was inverted ``(B, D)``.
        embed: Returns the descriptors ``(B, D)`` of latents.
    """

    def cosines(latents: Tensor) -> Tensor:
        return nn.functional.cosine_similarity(embed(latents), wanted)

    reached = torch.stack([cosines(end) for end in ends], 1)
    level = reached.min(1).values
    found = []
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        low, _ = halved(start, end, lambda latents: ~(cosines(latents) > level))
        share = torch.where(reached[:, place] > level, low, torch.ones_like(low))
        found.append(between(start, end, share))
    return found, reached


def halved(start: Tensor, end: Tensor, inside: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Return shares of the way from start to end ``(B,)``: the last one known to be inside, the first known to be not.

    Args:
        start: Latents ``(B, *latent_shape)`` that are taken to be inside.
        end: Latents that are taken to be outside.
        inside: Returns whether latents are inside ``(B,)``; asked :data:`HALVINGS` times.
    """
    low, high = torch.zeros(len(end)), torch.ones(len(end))
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        within = inside(between(start, end, middle))
        low, high = torch.where(within, middle, low), torch.where(within, high, middle)
    return low, high


def between(start: Tensor, end: Tensor, share: Tensor) -> Tensor:
    """Return latents on the line from start to end, at a share of the way ``(B,)``."""
    along: Tensor = start + share.view(-1, *[1] * (start.dim() - 1)) * (end - start)
    return along
