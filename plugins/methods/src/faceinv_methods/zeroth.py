"""Descent in the latent space along a gradient estimated from scores, as in MAP2V.

The estimate averages the slopes along random directions, with two queries per direction (Nesterov and Spokoiny 2017);
MAP2V (Zhang et al., CVPR 2024) follows such an estimate through a face generator.
"""

from __future__ import annotations

import torch
from torch import Tensor

from faceinv.attack import Adam, Best, Noise, rows_of, spread
from faceinv.contracts import Inversion, InversionTask


class Zeroth:
    """Adam on an estimated gradient, starting from the regressor's latent.

    Args:
        learning_rate: Adam's step size, in standard deviations of the generator's latents.
        directions: Directions per estimate; each takes two queries.
        radius: Distance of the queries along a direction, in the same unit.
    """

    def __init__(self, learning_rate: float = 0.1, directions: int = 8, radius: float = 0.1) -> None:
        self.learning_rate = learning_rate
        self.directions = directions
        self.radius = radius

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the best latent of all that were scored."""
        noise, targets = Noise(task), len(task.descriptors)
        _, scale = spread(task.generator, task.space, task.descriptors)
        first = task.start(task.descriptors)
        moves = torch.zeros_like(first)
        best = Best.none(first)
        optimizer = Adam(moves, self.learning_rate)
        left = task.steps
        while left:
            # One query for the current latent, and two for each direction.
            tried, used = (first + scale * moves)[:, None], min(self.directions, (left - 1) // 2)
            if used:
                along = directions(noise, used, moves)
                near = moves[:, None] + self.radius * torch.cat([along, -along], 1)
                tried = torch.cat([tried, first[:, None] + scale * near], 1)
            n = tried.shape[1]
            total, terms = task.score(rows_of(targets, n), latents=tried.flatten(0, 1))
            best.offer(tried, total, terms)
            left -= n
            if used:
                ahead, behind = total.view(targets, n)[:, 1:].split(used, 1)
                optimizer.step(estimate(along, ahead, behind, self.radius))
        images = task.generator(best.candidate, task.space)
        return Inversion(best.candidate, images, task.generator(first, task.space), best.trajectory())


def directions(noise: Noise, n: int, like: Tensor) -> Tensor:
    """Return ``n`` random directions per target, ``(B, n, …)``, as long as a normal vector: √dimensions.

    They are orthogonal unless there are more than dimensions.
    """
    shape, size = like.shape[1:], like[0].numel()
    drawn = noise.normal(size, n)
    if n <= size:
        drawn = torch.linalg.qr(drawn).Q * size**0.5
    return drawn.transpose(1, 2).reshape(len(like), n, *shape)


def estimate(along: Tensor, ahead: Tensor, behind: Tensor, radius: float) -> Tensor:
    """Return the gradient estimated from values at both ends of each direction.

    Args:
        along: Directions ``(B, n, …)``.
        ahead: Values ``(B, n)`` at ``radius`` along each direction.
        behind: Values ``(B, n)`` at ``−radius``.
        radius: Distance of the queries.

    Returns:
        ``(B, …)``: ``Σ (f(x + ru) − f(x − ru)) / 2r · u / n``.
    """
    slope = (ahead - behind) / (2 * radius)
    return (slope.view(*slope.shape, *[1] * (along.ndim - 2)) * along).mean(1)
