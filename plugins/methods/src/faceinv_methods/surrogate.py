"""This project's method for score-only access: search a learnt copy first, which costs no query, then the encoder.

A small network learns from the attack's pairs how latents map to descriptors. Gradients through this copy improve the
regressor's latent, and an evolution strategy (sep-CMA-ES, Ros and Hansen 2008) that starts there queries the encoder. A
regressor returns the mean of all fitting latents, which need not fit itself; the copy can tell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.attack import Adam
from faceinv.contracts import InversionTask, Training
from faceinv.errors import PluginError
from faceinv_methods.evolution import Evolution


class Surrogate(Evolution):
    """CMA-ES, starting where gradients through a learnt copy of generator and encoder lead.

    Args:
        sigma: First step size, in standard deviations of the generator's latents.
        population: Candidates per generation; 0: the default of CMA-ES, 4 + 3 ln(dimensions).
        diagonal: Number of dimensions from which on only a diagonal covariance is learnt.
        prior: Weight of a latent's mean squared distance from the generator's mean, in units of its variance, relative
            to the copy's mean squared error, in units of the descriptors' variance.
        steps: Steps of Adam in the copy, at a learning rate of 0.1; they make no query.
        epochs: Passes over the pairs to train the copy.
        width: Units in each of the copy's two hidden layers.
    """

    def __init__(
        self,
        sigma: float = 0.3,
        population: int = 0,
        diagonal: int = 64,
        prior: float = 0.3,
        steps: int = 80,
        epochs: int = 12,
        width: int = 1024,
    ) -> None:
        super().__init__("regressor", sigma, population, diagonal)
        self.prior = prior
        self.steps = steps
        self.epochs = epochs
        self.width = width
        self._copy: Copy | None = None

    def prepare(self, training: Training) -> None:
        """Train the copy, or read it from the cache."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            copy = Copy(training.latents, training.descriptors, self.width)
        settings = {"epochs": self.epochs, "width": self.width}
        copy.load_state_dict(training.cached(settings, lambda: self._trained(copy, training)))
        self._copy = copy.eval().requires_grad_(False)

    def _begin(self, task: InversionTask) -> Tensor:
        """Return latents optimised through the copy, starting from the regressor's."""
        if self._copy is None:
            raise PluginError("The method 'faceinv-scores' has not been trained; call prepare() before inverting.")
        copy = self._copy.to(task.descriptors)
        wanted = (task.descriptors - copy.mean) / copy.scale
        with torch.enable_grad():
            moves = copy.standardised(task.start(task.descriptors)).requires_grad_()
            optimizer = Adam(moves, 0.1)
            for _ in range(self.steps):
                loss = (copy(moves) - wanted).square().mean(1) + self.prior * moves.square().mean(1)
                (gradient,) = torch.autograd.grad(loss.sum(), moves)
                optimizer.step(gradient)
        latents: Tensor = moves.detach().view(-1, *copy.latent_mean.shape) * copy.latent_scale + copy.latent_mean
        return latents

    def _trained(self, copy: Copy, training: Training) -> dict[str, Tensor]:
        inputs, wanted = copy.standardised(training.latents), (training.descriptors - copy.mean) / copy.scale
        stream = torch.Generator().manual_seed(training.seed)
        size = min(256, len(inputs))
        batches = len(inputs) // size
        optimizer = torch.optim.AdamW(copy.parameters(), weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=self.epochs * batches)
        for epoch in range(self.epochs):
            for rows in torch.randperm(len(inputs), generator=stream)[: batches * size].split(size):
                optimizer.zero_grad(set_to_none=True)
                (copy(inputs[rows]) - wanted[rows]).square().mean().backward()
                optimizer.step()
                schedule.step()
            training.progress("learning a copy of the encoder", epoch + 1, self.epochs)
        return {name: value.detach().cpu() for name, value in copy.state_dict().items()}


class Copy(nn.Module):
    """A network from latents to descriptors, both standardised over the pairs.

    Args:
        latents: ``(N, *latent_shape)`` to take mean and standard deviation from.
        descriptors: ``(N, D)``; all components share one scale, because the attack minimises their squared distance.
        width: Units in each hidden layer.
    """

    latent_mean: Tensor
    latent_scale: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, latents: Tensor, descriptors: Tensor, width: int) -> None:
        super().__init__()
        self.register_buffer("latent_mean", latents.mean(0))
        self.register_buffer("latent_scale", latents.std(0).clamp_min(1e-6))
        self.register_buffer("mean", descriptors.mean(0))
        self.register_buffer("scale", descriptors.var(0).mean().sqrt())
        self.layers = nn.Sequential(
            nn.Linear(latents[0].numel(), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, descriptors.shape[1]),
        )

    def standardised(self, latents: Tensor) -> Tensor:
        """Return latents ``(B, *latent_shape)`` standardised and flattened, ``(B, k)``."""
        standard: Tensor = ((latents - self.latent_mean) / self.latent_scale).flatten(1)
        return standard

    def forward(self, standard: Tensor) -> Tensor:
        """Map standardised latents ``(B, k)`` to standardised descriptors ``(B, D)``."""
        descriptors: Tensor = self.layers(standard)
        return descriptors
