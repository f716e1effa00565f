"""The paper's network from an image to landmarks (section 3.3), for the paper's row "From image".

The paper trains it like the head that reads landmarks from descriptors. It takes the binary attributes from another
work, whose training it does not describe, and counts the histogram; so this is the paper's only network that sees an
image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from faceinv.audit.image_reader import batches
from faceinv.contracts.probes import Probe, Recipe
from faceinv.contracts.progress import Reporter
from faceinv.probes.recipe import make_optimizer
from faceinv.storage.hashing import seed_of

_WIDTHS = (24, 48, 64, 96, 96)

#: Name of the training, for progress.
PHASE = "training the paper's network"


class PaperNetwork(nn.Module):
    """Five convolutions and two fully connected layers with ReLU, from images ``(B, 3, H, W)`` in ``[0, 1]``.

    The paper gives neither widths nor strides. Outputs are offsets from ``mean`` in units of ``spread``: plain SGD at
    the paper's rate hardly moves coordinates between 0 and 1.

    Args:
        size: Height and width of the images.
        mean: ``(k,)`` attribute that the untrained network is to be near.
        spread: Unit of the offsets.
    """

    mean: Tensor

    def __init__(self, size: tuple[int, int], mean: Tensor, spread: float) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inputs, pixels = 3, size
        for width in _WIDTHS:
            # Halved until a side has four pixels, which keeps where things are.
            stride = 2 if min(pixels) > 4 else 1
            layers += [nn.Conv2d(inputs, width, 3, stride, 1), nn.ReLU()]
            inputs, pixels = width, (math.ceil(pixels[0] / stride), math.ceil(pixels[1] / stride))
        area = pixels[0] * pixels[1]
        self.offsets = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(inputs * area, 256), nn.ReLU(), nn.Linear(256, len(mean))
        )
        self.spread = spread
        self.register_buffer("mean", mean)

    def forward(self, images: Tensor) -> Tensor:
        """Return the attribute ``(B, k)``."""
        found: Tensor = self.offsets(images - 0.5) * self.spread + self.mean
        return found


def paper_recipe(probe: Probe) -> Recipe | None:
    """Return how the paper trains the head of an attribute of images, or ``None`` if it does not read the attribute."""
    try:
        recipe = probe.paper_recipe()
    except NotImplementedError:
        return None
    return recipe if recipe.objective == "mse" else None


def read_by_paper(
    crops: Tensor,
    labels: Tensor,
    recipe: Recipe,
    train: Tensor,
    test: Tensor,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Reporter | None = None,
) -> Tensor:
    """Train the paper's network on the ``train`` rows and return what it reads from the ``test`` rows, ``(m, k)``.

    Args:
        crops: ``(N, 3, h, w)`` uint8.
        labels: ``(N, *shape)``, NaN where unknown.
        recipe: How to train.
        train: Rows to learn from.
        test: Rows to read.
        seed: Seed of first weights and order.
        device: Where to train.
        progress: Called with (what, epochs done, of).
    """
    flat = labels.flatten(1)
    train = train[~flat[train].isnan().any(1)]
    mean, spread = flat[train].mean(0), float(flat[train].std(0, correction=0).mean().clamp_min(1e-6))
    rng = torch.Generator().manual_seed(seed_of(f"paper image {seed}"))
    with torch.random.fork_rng(devices=[]):
        # Initial weights come from the global generator, whose state must not change.
        torch.manual_seed(seed_of(f"paper image weights {seed}"))
        network = PaperNetwork((crops.shape[2], crops.shape[3]), mean, spread).to(device)
    optimizer = make_optimizer(network.parameters(), recipe)

    def seen(rows: Tensor) -> Tensor:
        return crops[rows].to(device, torch.float32) / 255

    for epoch in range(recipe.epochs):
        for rows in batches(train[torch.randperm(len(train), generator=rng)], recipe.batch_size):
            loss = ((network(seen(rows)) - flat[rows].to(device)) / spread).square().mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        if progress:
            progress(PHASE, epoch + 1, recipe.epochs)
    with torch.no_grad():
        return torch.cat([network(seen(rows)).cpu() for rows in torch.split(test, 256)])
