"""Readers that are trained once and kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict

import torch
from torch import Tensor, nn

from faceinv.contracts.probes import Recipe
from faceinv.contracts.progress import Reporter
from faceinv.probes.reader import AveragedHeads, Examples, Reader, Readings
from faceinv.probes.training import Parts, Task, train_heads
from faceinv.probes.whitening import Whitening
from faceinv.storage.tensors import TensorCache


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
    whitening: Whitening | Readings,
    constrain: Callable[[Tensor], Tensor] | None = None,
    reading_loss: Callable[[Tensor, Tensor], Tensor | None] | None = None,
    members: int = 1,
    progress: Reporter | None = None,
) -> Reader:
    """Return a reader trained on (descriptor, target) pairs; read it from the cache if it is there.

    Args:
        make_head: Builds the untrained head.
        shape: Shape of a target.
        examples: Returns what to train on; called only to train.
        recipe: How to train.
        seed: Seed of initial weights, batch order, dropout and noise.
        what: Name for progress and the file.
        parts: Everything the pairs depend on, for the cache key.
        cache: Where the trained reader is kept.
        whitening: Of the pairs' descriptors, for recipes that whiten; with readings, a head sees them too.
        constrain: Maps the raw output to a valid attribute.
        reading_loss: The probe's own loss, for recipes that whiten.
        members: Number of heads to train and average.
        progress: Called with (what, epoch, of).
    """

    def together(heads: Iterable[nn.Module]) -> nn.Module:
        return AveragedHeads(heads) if members > 1 else next(iter(heads))

    def make() -> dict[str, Tensor]:
        given = examples()
        names = [what, *(f"{what} {number}" for number in range(1, members))]
        tasks = [Task(name, given.targets, make_head, recipe, constrain, reading_loss) for name in names]
        rows, split = torch.arange(len(given.descriptors)), given.split
        trained = train_heads(
            given.descriptors,
            tasks,
            Parts(rows[split.train], rows[split.validation]),
            seed=seed,
            whitening=whitening,
            ahead=True,
            what=what,
            progress=progress,
        )
        found = trained[what]
        found.head = together(reader.head for reader in trained.values())
        return {name: tensor for name, tensor in found.state_dict().items() if not name.startswith("whitening.")}

    with torch.random.fork_rng(devices=[]):
        # The cached weights replace those that are drawn here, but the global generator's state must not change.
        head = together(make_head() for _ in range(members))
    reader = Reader(head, shape, whitening if recipe.whiten else None, constrain)
    made_from = {"version": 8, "recipe": asdict(recipe), "seed": seed, "head": repr(head), **parts}
    reader.load_state_dict(reader.state_dict() | cache.load_or_make(what, made_from, make))
    return reader.eval().requires_grad_(False)
