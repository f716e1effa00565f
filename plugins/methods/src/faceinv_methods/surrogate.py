"""This project's method where scores are all there is: search a copy first, which costs no query, then the encoder.

The attack's pairs say what latents do to descriptors. A small network learns it, and a latent is found in this copy by
gradients, as near to the regressor's as the copy allows; only then is the encoder asked, by an evolution strategy that
begins there. A regressor answers with the mean of all latents that would fit, which need not fit itself; the copy can
tell.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from faceinv.contracts import InversionTask, Training
from faceinv.errors import PluginError
from faceinv_methods.evolution import Evolution


class Surrogate(Evolution):
    """CMA-ES from where gradients through a learnt copy of generator and encoder lead.

    Args:
        sigma: First step size, in standard deviations of the generator's latents.
        population: Candidates in a generation; 0 for the strategy's own 4 + 3 ln(dimensions).
        diagonal: From how many dimensions on only a diagonal covariance is learnt.
        prior: Weight of a latent's mean squared distance from the generator's mean, in units of its variance, against
            the copy's mean squared error, in units of the descriptors' variance.
        steps: Steps of Adam in the copy, at rate 0.1; none of them asks the encoder.
        epochs: Passes over the pairs in which the copy is learnt.
        width: Units of each of its two hidden layers.
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
        """Learn the copy, or read it back."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(training.seed)
            copy = Copy(training.latents, training.descriptors, self.width)
        settings = {"epochs": self.epochs, "width": self.width}
        copy.load_state_dict(training.cached(settings, lambda: self._trained(copy, training)))
        self._copy = copy.eval().requires_grad_(False)

    def _begin(self, task: InversionTask) -> Tensor:
        """Return the latents that the copy gives, from the regressor's."""
        if self._copy is None:
            raise PluginError("The method 'faceinv-scores' learns from pairs first; call prepare().")
        copy = self._copy.to(task.descriptors)
        wanted = (task.descriptors - copy.mean) / copy.scale
        with torch.enable_grad():
            moves = copy.standardised(task.start(task.descriptors)).requires_grad_()
            optimizer = torch.optim.Adam([moves], lr=0.1)
            for _ in range(self.steps):
                loss = (copy(moves) - wanted).square().mean(1) + self.prior * moves.square().mean(1)
                (moves.grad,) = torch.autograd.grad(loss.sum(), moves)
                optimizer.step()
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
    """Latents to descriptors, both in units of their spread over the pairs.

    Args:
        latents: ``(N, *latent_shape)`` that tell the spread.
        descriptors: ``(N, D)``; all numbers get one scale, since their squared distance is what is attacked.
        width: Units of each hidden layer.
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
        """Return latents ``(B, *latent_shape)`` in units of their spread, ``(B, k)``."""
        standard: Tensor = ((latents - self.latent_mean) / self.latent_scale).flatten(1)
        return standard

    def forward(self, standard: Tensor) -> Tensor:
        """Map standardised latents ``(B, k)`` to standardised descriptors ``(B, D)``."""
        descriptors: Tensor = self.layers(standard)
        return descriptors
