"""Readers: small networks from a descriptor to an attribute or a latent, trained and cached."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from faceinv.contracts.probes import Recipe
from faceinv.probes.recipe import EarlyStopping, make_optimizer, set_learning_rate
from faceinv.probes.whitening import Whitening
from faceinv.storage.tensors import TensorCache


class Reader(nn.Module):
    """A head between whitened descriptors and standardised attributes.

    Args:
        head: ``(B, dim)`` to ``(B, k)``.
        shape: Shape of the attribute; k is its product.
        whitening: Applied to descriptors first; ``None`` leaves them as they are.
        constrain: Maps ``(B, k)`` to a valid ``(B, *shape)``.
    """

    output_mean: Tensor
    output_scale: Tensor

    def __init__(
        self,
        head: nn.Module,
        shape: tuple[int, ...],
        whitening: Whitening | None = None,
        constrain: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        self.head = head
        self.shape = shape
        self.whitening = whitening
        self._constrain = constrain
        k = math.prod(shape)
        self.register_buffer("output_mean", torch.zeros(k))
        self.register_buffer("output_scale", torch.ones(k))

    def inputs(self, descriptors: Tensor) -> Tensor:
        """Return the head's inputs ``(B, dim)`` for descriptors ``(B, dim)``."""
        return descriptors if self.whitening is None else self.whitening(descriptors)

    def standardised(self, descriptors: Tensor) -> Tensor:
        """Return the head's output ``(B, k)`` in standardised units."""
        output: Tensor = self.head(self.inputs(descriptors))
        return output

    def forward(self, descriptors: Tensor) -> Tensor:
        """Read the attribute ``(B, *shape)`` from descriptors ``(B, dim)``."""
        raw = self.standardised(descriptors) * self.output_scale + self.output_mean
        return self._constrain(raw) if self._constrain else raw.reshape(len(raw), *self.shape)


@dataclass(frozen=True)
class Split:
    """Parts of the pairs: the last tenth for scores, the tenth before it for early stopping, the rest for training."""

    train: slice
    validation: slice
    test: slice

    @classmethod
    def of(cls, n: int) -> Split:
        """Split ``n`` pairs 8 : 1 : 1."""
        tenth = max(1, n // 10)
        return cls(slice(0, n - 2 * tenth), slice(n - 2 * tenth, n - tenth), slice(n - tenth, n))


@dataclass(frozen=True)
class Examples:
    """What a reader learns from.

    Args:
        descriptors: ``(N, dim)``.
        targets: ``(N, *shape)``.
        split: Rows of each part.
    """

    descriptors: Tensor
    targets: Tensor
    split: Split

    @classmethod
    def of(cls, descriptors: Tensor, targets: Tensor) -> Examples:
        """Return independent examples, split 8 : 1 : 1."""
        return cls(descriptors, targets, Split.of(len(descriptors)))


class TunedHead(nn.Module):
    """Two-layer MLP plus a linear skip connection (the linear part reads most of a Gaussian attribute)."""

    def __init__(self, dim: int, outputs: int, width: int = 512, dropout: float = 0.2) -> None:
        super().__init__()
        self.linear = nn.Linear(dim, outputs)
        self.mlp = nn.Sequential(
            nn.Linear(dim, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, outputs),
        )

    def forward(self, descriptors: Tensor) -> Tensor:
        """Return ``(B, outputs)``."""
        output: Tensor = self.linear(descriptors) + self.mlp(descriptors)
        return output


def latent_head(dim: int, outputs: int) -> nn.Module:
    """Return the paper's latent regressor: 3 hidden layers of 2,048 units, ReLU (section 4.1)."""
    return nn.Sequential(
        nn.Linear(dim, 2048),
        nn.ReLU(),
        nn.Linear(2048, 2048),
        nn.ReLU(),
        nn.Linear(2048, 2048),
        nn.ReLU(),
        nn.Linear(2048, outputs),
    )


def trained_reader(
    make_head: Callable[[], nn.Module],
    shape: tuple[int, ...],
    examples: Callable[[], Examples],
    recipe: Recipe,
    *,
    seed: int,
    what: str,
    parts: Mapping[str, object],
    cache: TensorCache,
    whitening: Whitening,
    constrain: Callable[[Tensor], Tensor] | None = None,
    reading_loss: Callable[[Tensor, Tensor], Tensor | None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Reader:
    """Return a reader trained on (descriptor, target) pairs; read it from the cache if it is there.

    Args:
        make_head: Builds the untrained head.
        shape: Shape of a target.
        examples: Returns what to train on; called only to train.
        recipe: How to train.
        seed: Seed of initial weights, batch order and dropout.
        what: Name for progress and the file.
        parts: Everything the pairs depend on, for the cache key.
        cache: Where the trained reader is kept.
        whitening: Of the pairs' descriptors, for recipes that whiten.
        constrain: Maps the raw output to a valid attribute.
        reading_loss: The probe's own loss, for recipes that whiten.
        progress: Called with (what, epoch, of).
    """
    with torch.random.fork_rng(devices=[]):
        # nn.Module draws initial weights from the global generator, whose state must not change.
        torch.manual_seed(seed)
        head = make_head()
    reader = Reader(head, shape, whitening if recipe.whiten else None, constrain)
    made_from = {"version": 7, "recipe": asdict(recipe), "seed": seed, "head": repr(head), **parts}

    def make() -> dict[str, Tensor]:
        def told(done: int) -> None:
            if progress:
                progress(what, done, recipe.epochs)

        _train(reader, examples(), recipe, seed, reading_loss, told)
        return {name: tensor for name, tensor in reader.state_dict().items() if not name.startswith("whitening.")}

    reader.load_state_dict(reader.state_dict() | cache.load_or_make(what, made_from, make))
    return reader.eval().requires_grad_(False)


def _train(
    reader: Reader,
    examples: Examples,
    recipe: Recipe,
    seed: int,
    reading_loss: Callable[[Tensor, Tensor], Tensor | None] | None,
    progress: Callable[[int], None],
) -> None:
    descriptors, split = examples.descriptors, examples.split
    flat = examples.targets.flatten(1)
    if recipe.whiten:
        reader.output_mean.copy_(flat[split.train].mean(0))
        reader.output_scale.copy_(flat[split.train].std(0).clamp_min(1e-6))
    standard = (flat - reader.output_mean) / reader.output_scale
    objective = _objective(reader, recipe, reading_loss)
    optimizer = make_optimizer(reader.head.parameters(), recipe)
    batches = max(1, math.ceil(split.train.stop / recipe.batch_size))
    rng = torch.Generator().manual_seed(seed)
    stopping, best_state = EarlyStopping(recipe.patience), None
    with torch.random.fork_rng(devices=[]):
        # Dropout takes no generator.
        torch.manual_seed(seed)
        for epoch in range(recipe.epochs):
            reader.train()
            order = torch.randperm(split.train.stop, generator=rng)
            for number, index in enumerate(torch.split(order, recipe.batch_size)):
                set_learning_rate(optimizer, recipe, epoch * batches + number, recipe.epochs * batches)
                loss = objective(descriptors[index], flat[index], standard[index])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
            progress(epoch + 1)
            if recipe.patience:
                reader.eval()
                with torch.inference_mode():
                    part = split.validation
                    score = objective(descriptors[part], flat[part], standard[part])
                if stopping.improved(score[None]):
                    best_state = {name: tensor.clone() for name, tensor in reader.state_dict().items()}
                if stopping.finished:
                    progress(recipe.epochs)
                    break
    if best_state is not None:
        reader.load_state_dict(best_state)
    reader.eval()


def _objective(
    reader: Reader, recipe: Recipe, reading_loss: Callable[[Tensor, Tensor], Tensor | None] | None
) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    if recipe.objective == "bce":
        return lambda x, raw, _: nn.functional.binary_cross_entropy_with_logits(reader.standardised(x), raw)
    if not recipe.whiten:
        # The paper's recipes compare the constrained output (softmax), the tuned one the raw output.
        return lambda x, raw, _: nn.functional.mse_loss(reader(x).flatten(1), raw)

    def tuned(x: Tensor, raw: Tensor, standard: Tensor) -> Tensor:
        output = reader.standardised(x)
        if reading_loss:
            shape = (len(raw), *reader.shape)
            own = reading_loss((output * reader.output_scale + reader.output_mean).view(shape), raw.view(shape))
            if own is not None:
                return own.mean()
        return nn.functional.mse_loss(output, standard)

    return tuned
