"""Training of the two landmark networks on samples or photographs, labelled by dlib."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from faceinv.contracts import Framing
from faceinv_landmarks.networks import FRAME, MIRROR, NETWORKS, LandmarkNetwork, folded_copy

#: Labels farther from the mean shape than this (mean over the points, in frame sides) are dlib's mistakes.
OUTLIER = 0.12


@dataclass(frozen=True)
class Schedule:
    """Training recipe: AdamW with a one-cycle schedule, on augmented images, with BatchNorm.

    Args:
        epochs: Passes over the samples.
        batch_size: Samples in a step.
        learning_rate: Peak learning rate.
        weight_decay: Decoupled weight decay.
        plain: Plain SGD on the squared error at a constant rate instead, on images as they are, without BatchNorm.
    """

    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    plain: bool = False


#: Recipes by name: the usual one, and the paper's (section 3.3).
RECIPES = {
    "tuned": Schedule(),
    "paper": Schedule(epochs=150, batch_size=16, learning_rate=1e-3, weight_decay=0.0, plain=True),
}


def train_network(
    kind: str,
    images: Tensor,
    points: Tensor,
    *,
    seed: int,
    frame: Framing = FRAME,
    trained_on: str = "",
    schedule: Schedule | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> LandmarkNetwork:
    """Train the network ``kind`` (``"measure"`` or ``"judge"``) and return it with BatchNorm folded.

    Args:
        kind: The network to train.
        images: ``(N, 3, *frame.size)`` in ``[0, 1]``, or with 8 bits.
        points: ``(N, 68, 2)`` in frame coordinates.
        seed: Seed of the initial weights, the order and the augmentation.
        frame: Framing of the images.
        trained_on: What they are, for records.
        schedule: Epochs, batch size and rates.
        progress: Called after each epoch with its number and mean training loss.
    """
    schedule = schedule or Schedule()
    usual = ((points - points.mean(0)).norm(dim=2).mean(1) < OUTLIER).nonzero().flatten()
    rng = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        # nn.Module draws its initial weights from the global generator, which must not change.
        torch.manual_seed(seed)
        network = NETWORKS[kind](frame, trained_on, normalise=not schedule.plain)
    network.mean_shape.copy_(points[usual].mean(0))
    network.spread.copy_(points[usual].std(0).mean())
    steps = len(usual) // schedule.batch_size
    step = _stepper(network, schedule, schedule.epochs * steps)
    network.train()
    for epoch in range(schedule.epochs):
        order = torch.randperm(len(usual), generator=rng)[: steps * schedule.batch_size]
        total = 0.0
        for index in torch.split(usual[order], schedule.batch_size):
            batch, truth = as_floats(images[index]), points[index]
            total += step(*((batch, truth) if schedule.plain else augment(batch, truth, rng)))
        if progress:
            progress(epoch + 1, total / steps)
    return folded_copy(kind, network.eval())


def _stepper(network: LandmarkNetwork, schedule: Schedule, steps: int) -> Callable[[Tensor, Tensor], float]:
    """Return a function that makes a step on images and their landmarks, and returns the loss."""
    if schedule.plain:
        optimizer: torch.optim.Optimizer = torch.optim.SGD(network.parameters(), schedule.learning_rate)
    else:
        optimizer = torch.optim.AdamW(network.parameters(), weight_decay=schedule.weight_decay)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, schedule.learning_rate, total_steps=steps)

    def step(images: Tensor, truth: Tensor) -> float:
        error = (network(images) - truth) / network.spread
        zero = torch.zeros_like(error)
        loss = nn.functional.mse_loss(error, zero) if schedule.plain else _robust(error, zero)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if not schedule.plain:
            cycle.step()
        return loss.item()

    return step


def _robust(error: Tensor, zero: Tensor) -> Tensor:
    return nn.functional.smooth_l1_loss(error, zero, beta=0.5)


def as_floats(images: Tensor) -> Tensor:
    """Return images in ``[0, 1]``, whether they are stored like that or with 8 bits."""
    return images.float().div(255) if images.dtype == torch.uint8 else images


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
