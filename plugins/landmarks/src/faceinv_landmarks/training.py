"""Training of the two landmark networks on a generator's samples, labelled by dlib."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceinv_landmarks.networks import MIRROR, NETWORKS, LandmarkNetwork, folded_copy

#: Labels farther from the mean shape than this (mean over the points, in frame sides) are dlib's mistakes.
OUTLIER = 0.12


@dataclass(frozen=True)
class Schedule:
    """Training recipe: AdamW with a one-cycle schedule.

    Args:
        epochs: Passes over the samples.
        batch_size: Samples in a step.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
    """

    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02


def train_network(
    kind: str,
    images: Tensor,
    points: Tensor,
    *,
    seed: int,
    schedule: Schedule | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> LandmarkNetwork:
    """Train the network ``kind`` (``"measure"`` or ``"judge"``) and return it with BatchNorm folded.

    Args:
        kind: The network to train.
        images: ``(N, 3, 64, 64)`` in ``[0, 1]``.
        points: ``(N, 68, 2)`` in frame coordinates.
        seed: Seed of the initial weights, the order and the augmentation.
        schedule: Epochs, batch size and rates.
        progress: Called after each epoch with its number and mean training loss.
    """
    schedule = schedule or Schedule()
    usual = (points - points.mean(0)).norm(dim=2).mean(1) < OUTLIER
    images, points = images[usual], points[usual]
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        # nn.Module draws its initial weights from the global generator, which must not change.
        torch.manual_seed(seed)
        network = NETWORKS[kind](normalise=True)
    network.mean_shape.copy_(points.mean(0))
    network.spread.copy_(points.std(0).mean())
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=schedule.weight_decay)
    steps = len(images) // schedule.batch_size
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total_steps=schedule.epochs * steps)
    network.train()
    for epoch in range(schedule.epochs):
        order = torch.randperm(len(images), generator=rng)[: steps * schedule.batch_size]
        total = 0.0
        for index in torch.split(order, schedule.batch_size):
            batch, truth = augment(images[index], points[index], rng)
            error = (network(batch) - truth) / network.spread
            loss = nn.functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.5)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            cycle.step()
            total += loss.item()
        if progress:
            progress(epoch + 1, total / steps)
    return folded_copy(kind, network.eval())


def augment(images: Tensor, points: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Augment images ``(B, 3, H, W)`` and their landmarks: mirror, shift, rotate and scale; vary contrast and tint."""
    n = len(images)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=rng)

    mirrored = torch.rand(n, generator=rng) < 0.5
    images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(3), images)
    flipped = points[:, list(MIRROR)] * torch.tensor([-1.0, 1.0]) + torch.tensor([1.0, 0.0])
    points = torch.where(mirrored.view(-1, 1, 1), flipped, points)

    scale, angle, shift = 1 + 0.08 * normal(n), 0.1 * normal(n), 0.04 * normal(n, 2)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)
    grid = nn.functional.affine_grid(torch.cat([linear, shift[:, :, None]], 2), list(images.shape), align_corners=False)
    images = nn.functional.grid_sample(images, grid, padding_mode="border", align_corners=False)
    centred = 2 * points - 1 - shift[:, None]
    points = (centred @ torch.linalg.inv(linear).transpose(1, 2) + 1) / 2

    contrast = 1 + 0.15 * normal(n, 1, 1, 1)
    tint = 0.08 * normal(n, 3, 1, 1)
    images = ((images - 0.5) * contrast + 0.5 + tint + 0.02 * normal(*images.shape)).clamp(0, 1)
    return images, points
