"""A network from descriptor to latent, trained through the frozen generator and encoder.

The identity loop is Genova et al.'s (CVPR 2018): what the network makes is embedded again and has to give the same
descriptor. Template inversion trains the same kind of mapping into a generator's latent space with pixel and identity
losses (Otroshi Shahreza and Marcel, "GaFaR", TPAMI 2023, and kin).
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
    """Learn descriptor → latent on the attack's pairs, first from latents, then through the images that they make.

    Args:
        latent_weight: Weight of the mean squared error of latents, in units of their variance.
        pixel_weight: Weight of the mean squared error of pixels, in units of the pixels' variance.
        identity_weight: Weight of 1 − cosine between the descriptors.
        epochs: Passes over the pairs with the latent loss alone, which cost no image.
        steps: Steps after that, with all three losses; no more than four passes.
        batch_size: Pairs in a step.
        width: Units of each of the two hidden layers.
        learning_rate: AdamW's, falling to zero along half a cosine in both parts.
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
        self.settings = {
            "latent_weight": latent_weight,
            "pixel_weight": pixel_weight,
            "identity_weight": identity_weight,
            "epochs": epochs,
            "steps": steps,
            "batch_size": batch_size,
            "width": width,
            "learning_rate": learning_rate,
        }
        self.latent_weight = latent_weight
        self.pixel_weight = pixel_weight
        self.identity_weight = identity_weight
        self.epochs = epochs
        self.steps = steps
        self.batch_size = batch_size
        self.width = width
        self.learning_rate = learning_rate
        self.network: nn.Module | None = None

    def prepare(self, training: Training) -> None:
        """Train the mapping, or read it back."""
        network = self._network(training)
        network.load_state_dict(training.cached(self.settings, lambda: self._trained(network, training)))
        self.network = network.eval().requires_grad_(False)

    @torch.no_grad()
    def __call__(self, task: InversionTask) -> Inversion:
        """Return the images of the mapped latents; the encoder is asked nothing."""
        if self.network is None:
            raise PluginError("The method 'mapping' was given a target before it was taught.")
        latents = self.network.to(task.descriptors)(task.descriptors)
        images = task.generator(latents, task.space)
        return Inversion(latents, images, images)

    def _network(self, training: Training) -> nn.Module:
        """Return the untrained network; its first and last layers know the pairs' means and spreads."""
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
                due = training.generator(latents, training.space)
            mapped = network(descriptors)
            made = training.generator(mapped, training.space)
            again = training.encode(made)
            loss = (
                self.latent_weight * ((mapped - latents) / spread).square().mean()
                + self.pixel_weight * (made - due).square().mean() / due.var()
                + self.identity_weight * (1 - F.cosine_similarity(again, descriptors)).mean()
            )
            loss.backward()
        return {name: value.detach().cpu() for name, value in network.state_dict().items()}

    def _steps(
        self, network: nn.Module, rows: Iterator[Tensor], steps: int, training: Training, what: str
    ) -> Iterator[Tensor]:
        """Yield rows for each step, and take it when the loss has gone backward."""
        optimizer = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(1, steps))
        for step in range(steps):
            optimizer.zero_grad(set_to_none=True)
            yield next(rows)
            optimizer.step()
            schedule.step()
            training.progress(what, step + 1, steps)


class Scaled(nn.Module):
    """Standardised numbers ``(B, k)`` to latents ``(B, *shape)``.

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
        """Return latents."""
        return standard.view(-1, *self.mean.shape) * self.scale + self.mean


def _rows(pairs: int, size: int, stream: torch.Generator) -> Iterator[Tensor]:
    """Yield rows of the pairs, each once a pass, in an order drawn anew."""
    while True:
        for rows in torch.randperm(pairs, generator=stream).split(size):
            if len(rows) == min(size, pairs):
                yield rows
