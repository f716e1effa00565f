"""A network from descriptors to latents, trained through the frozen generator and encoder.

The identity loop is from Genova et al. (CVPR 2018): the network's images are embedded again and must yield the same
descriptor. Template inversion trains such a mapping into a generator's latent space with pixel and identity losses
(Otroshi Shahreza and Marcel, "GaFaR", TPAMI 2023, and related work).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import Inversion, InversionTask, Training
from faceinv.errors import PluginError
from faceinv.probes import Whitening


class Mapping:
    """A mapping from descriptor to latent, trained on the attack's pairs: first on latents, then through their images.

    Args:
        latent_weight: Weight of the mean squared error of latents, in units of their variance.
        pixel_weight: Weight of the mean squared error of pixels, in units of the pixels' variance.
        identity_weight: Weight of 1 − cosine between the descriptors.
        epochs: Passes over the pairs with the latent loss alone, which needs no images.
        steps: Steps after that, with all three losses; at most four passes.
        batch_size: Pairs per step with all three losses.
        width: Units in each of the two hidden layers.
        learning_rate: AdamW's, decaying to zero along half a cosine in both phases.
    """

    def __init__(
        self,
        latent_weight: float = 0.3,
        pixel_weight: float = 1.0,
        identity_weight: float = 2.0,
        epochs: int = 6,
        steps: int = 400,
        batch_size: int = 32,
        width: int = 1024,
        learning_rate: float = 5e-4,
    ) -> None:
        self.latent_weight = latent_weight
        self.pixel_weight = pixel_weight
        self.identity_weight = identity_weight
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.width = width
        self.learning_rate = learning_rate
        self.settings = dict(vars(self))
        self.network: nn.Module | None = None

    def prepare(self, training: Training) -> None:
        """Train the mapping, or read it from the cache."""
        network = self._network(training)
        network.load_state_dict(training.cached(self.settings, lambda: self._trained(network, training)))
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images of the mapped latents; makes no query."""
        if self.network is None:
            raise PluginError("The method 'mapping' has not been trained; call prepare() before inverting.")
        latents = self.network.to(task.descriptors)(task.descriptors)
        images = task.generator(latents, task.space)
        return Inversion(latents, images, images)

    def _network(self, training: Training) -> nn.Module:
        """Return the untrained network; its first and last layers standardise by the pairs' statistics."""
        dim, shape = training.descriptors.shape[1], training.latents.shape[1:]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            layers = [
                Whitening.fitted(training.descriptors, torch.arange(len(training.descriptors))),
                nn.Linear(dim, self.width),
                nn.GELU(),
                nn.Linear(self.width, self.width),
                nn.GELU(),
                nn.Linear(self.width, shape.numel()),
                Scaled(training.latents.mean(0), training.latents.std(0).clamp_min(1e-6)),
            ]
        return nn.Sequential(*layers)

    def _trained(self, network: nn.Module, training: Training) -> dict[str, Tensor]:
        stream = torch.Generator().manual_seed(training.seed)
        spread = training.latents.std(0).clamp_min(1e-6)
        pairs = len(training.latents)
        batches = max(1, self.epochs * pairs // 256)
        for rows in self._steps(network, _rows(pairs, 256, stream), batches, training, "mapping, latents"):
            mapped = network(training.descriptors[rows])
            loss = ((mapped - training.latents[rows]) / spread).square().mean()
            loss.backward()
        device = next(iter(training.generator.state_dict().values())).device
        network.to(device)
        spread = spread.to(device)
        order = _rows(pairs, self.batch_size, stream)
        steps = min(self.steps, max(1, 4 * pairs // self.batch_size))
        for rows in self._steps(network, order, steps, training, "mapping, images"):
            descriptors, latents = training.descriptors[rows].to(device), training.latents[rows].to(device)
            with torch.no_grad():
                expected = training.generator(latents, training.space)
            mapped = network(descriptors)
            made = training.generator(mapped, training.space)
            again = training.encode(made)
            loss = (
                self.latent_weight * ((mapped - latents) / spread).square().mean()
                + self.pixel_weight * (made - expected).square().mean() / expected.var()
                + self.identity_weight * (1 - F.cosine_similarity(again, descriptors)).mean()
            )
            loss.backward()
        return {name: value.detach().cpu() for name, value in network.state_dict().items()}

    def _steps(
        self, network: nn.Module, rows: Iterator[Tensor], steps: int, training: Training, what: str
    ) -> Iterator[Tensor]:
        """Yield the rows of each step; step the optimizer once the caller has called ``backward``."""
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            yield next(rows)
            optimizer.step()
            schedule.step()
            training.progress(what, step + 1, steps)


class Scaled(nn.Module):
    """Map standardised values ``(B, k)`` to latents ``(B, *shape)``.

    Args:
        mean: ``(*shape)``.
        scale: ``(*shape)``.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)

    def forward(self, standard: Tensor) -> Tensor:
        """Return the latents ``(B, *shape)``."""
        return standard.view(-1, *self.mean.shape) * self.scale + self.mean


def _rows(pairs: int, size: int, stream: torch.Generator) -> Iterator[Tensor]:
    """Yield batches of row indices, each row at most once per pass, in a new random order for every pass."""
    while True:
        for rows in torch.randperm(pairs, generator=stream).split(size):
            if len(rows) == min(size, pairs):
                yield rows
