"""Training of many heads at once: one loop over the descriptors, with equal heads stacked into one.

The heads of an audit are small, and one step of one head is mostly overhead. Heads with equal layers share every
operation (their parameters are stacked, and :func:`torch.vmap` runs them as one), and all heads with equal
batches share the loop. Each head is trained as if it were alone, up to rounding: parameters, batch order and
dropout depend on the seed and the head's own name, never on the other heads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state

from faceinv.contracts.probes import Recipe
from faceinv.contracts.progress import Reporter
from faceinv.probes.reader import Reader
from faceinv.probes.recipe import EarlyStopping, make_optimizer, set_learning_rate
from faceinv.probes.whitening import Whitening
from faceinv.storage.hashing import seed_of


@dataclass(frozen=True)
class Task:
    """An attribute for one head to learn.

    Args:
        name: Unique name; it seeds the initial weights.
        labels: ``(N, *shape)``; all NaN in a row whose label is unknown.
        make_head: Builds the untrained head, ``(B, dim)`` to ``(B, prod(shape))``.
        recipe: How to train it.
        constrain: Maps a raw output to a valid attribute; for ``objective="bce"`` the sigmoid.
    """

    name: str
    labels: Tensor
    make_head: Callable[[], nn.Module]
    recipe: Recipe
    constrain: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class Parts:
    """Rows of the descriptors for training and for validation; disjoint.

    Args:
        train: ``(n,)`` rows to train on.
        val: ``(m,)`` rows for early stopping; may be empty if no recipe has patience.
    """

    train: Tensor
    val: Tensor


def train_heads(
    descriptors: Tensor,
    tasks: Sequence[Task],
    parts: Parts,
    *,
    seed: int,
    what: str = "training heads",
    progress: Reporter | None = None,
) -> dict[str, Reader]:
    """Return a trained reader for each task.

    Args:
        descriptors: ``(N, dim)``; may be mapped from a file, since rows are read batch by batch.
        tasks: Attributes to learn.
        parts: Rows for training and validation.
        seed: Seed of initial weights, batch order and dropout.
        what: Name for progress.
        progress: Called with (what, epochs done, of).
    """
    whitening = Whitening.fitted(descriptors, parts.train) if any(task.recipe.whiten for task in tasks) else None
    readers = {task.name: _reader(task, descriptors, parts, seed, whitening) for task in tasks}
    groups = _grouped(tasks, readers, parts)
    loops: dict[tuple[int, int], list[_Group]] = {}
    for group in groups:
        loops.setdefault((group.recipe.batch_size, group.recipe.epochs), []).append(group)
    total, done = sum(epochs for _, epochs in loops), 0
    with torch.random.fork_rng(devices=[]):
        for (batch_size, epochs), members in loops.items():
            for group in members:
                # If nothing can be learnt, the untrained head is the best one.
                group.validate(descriptors, parts.val)
            order = torch.Generator().manual_seed(seed_of(f"order {seed}"))
            for epoch in range(epochs):
                _epoch(descriptors, members, parts, batch_size, order, seed, epoch)
                if progress:
                    progress(what, done + epoch + 1, total)
                if all(group.is_finished for group in members):
                    break
            done += epochs
            if progress:
                progress(what, done, total)
    for group in groups:
        group.unstack(readers)
    return readers


def _epoch(
    descriptors: Tensor,
    groups: Sequence[_Group],
    parts: Parts,
    batch_size: int,
    order: torch.Generator,
    seed: int,
    epoch: int,
) -> None:
    shuffled = parts.train[torch.randperm(len(parts.train), generator=order)]
    active = [group for group in groups if not group.is_finished]
    for number, rows in enumerate(torch.split(shuffled, batch_size)):
        batch = descriptors[rows]
        for group in active:
            if group.has_dropout:
                # Dropout takes no generator, so seed globally: each head sees the same noise
                # regardless of the other heads.
                torch.manual_seed(seed_of(f"dropout {seed} {epoch} {number}"))
            group.step(batch, rows)
    for group in active:
        group.validate(descriptors, parts.val)


@dataclass
class _Group:
    """Heads with equal layers and recipe, their parameters stacked.

    Args:
        names: Names of the tasks.
        recipe: The recipe of all of them.
        heads: The untrained heads.
        inputs: Maps descriptors to the heads' inputs.
        labels: ``(K, N, k)`` in standardised units; 0 where unknown.
        known: ``(K, N)``: 1 where a label is known, else 0.
        steps: Optimiser steps per epoch.
    """

    names: list[str]
    recipe: Recipe
    heads: list[nn.Module]
    inputs: Callable[[Tensor], Tensor]
    labels: Tensor
    known: Tensor
    steps: int

    def __post_init__(self) -> None:
        parameters, buffers = stack_module_state(self.heads)
        self._parameters = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        self._buffers = buffers
        self._optimizer = make_optimizer(self._parameters.values(), self.recipe, fused=True)
        self._taken = 0
        self._stopping = EarlyStopping(self.recipe.patience, len(self.heads))
        self._kept: dict[str, Tensor] | None = None
        self._module = self.heads[0]
        self.has_dropout = any(isinstance(module, nn.Dropout) for module in self._module.modules())

    @property
    def is_finished(self) -> bool:
        """True once every head is out of patience."""
        return bool(self._stopping.finished.all())

    def step(self, descriptors: Tensor, rows: Tensor) -> None:
        """Take one step on a batch."""
        self._module.train()
        set_learning_rate(self._optimizer, self.recipe, self._taken, self.recipe.epochs * self.steps)
        loss = self._losses(descriptors, rows).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._taken += 1

    def validate(self, descriptors: Tensor, rows: Tensor) -> None:
        """Keep the parameters of each head that improved on ``rows``."""
        if not self.recipe.patience or not len(rows):
            return
        self._module.eval()
        with torch.no_grad():
            sums, counts = torch.zeros(len(self.names)), torch.zeros(len(self.names))
            for part in torch.split(rows, 4096):
                weight = self.known[:, part].sum(1)
                sums += self._losses(descriptors[part], part) * weight
                counts += weight
            # A head that is out of patience is done, as it would be if it were trained alone.
            better = self._stopping.improved((sums / counts.clamp_min(1)).where(~self._stopping.finished, math.inf))
            if self._kept is None:
                self._kept = {name: value.detach().clone() for name, value in self._parameters.items()}
            for name, value in self._parameters.items():
                self._kept[name][better] = value.detach()[better]

    def unstack(self, readers: dict[str, Reader]) -> None:
        """Write the trained parameters into the readers."""
        stacked = self._kept or self._parameters
        for index, name in enumerate(self.names):
            own = {key: value[index].detach().clone() for key, value in stacked.items()}
            own |= {key: value[index] for key, value in self._buffers.items()}
            readers[name].head.load_state_dict(own)
            readers[name].eval().requires_grad_(False)

    def _losses(self, descriptors: Tensor, rows: Tensor) -> Tensor:
        """Return the mean loss of each head over the rows whose label is known, ``(K,)``."""
        inputs = self.inputs(descriptors)
        if len(self.heads) == 1:
            own = {name: value[0] for name, value in (self._parameters | self._buffers).items()}
            outputs = functional_call(self._module, own, (inputs,))[None]
        else:
            outputs = torch.vmap(self._call, in_dims=(0, 0, None), randomness="same")(
                self._parameters, self._buffers, inputs
            )
        labels, known = self.labels[:, rows], self.known[:, rows]
        if self.recipe.objective == "bce":
            losses = nn.functional.binary_cross_entropy_with_logits(outputs, labels, reduction="none")
        else:
            losses = (outputs - labels).square()
        return (losses.mean(2) * known).sum(1) / known.sum(1).clamp_min(1)

    def _call(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self._module, parameters | buffers, (inputs,))
        return outputs


def _reader(task: Task, descriptors: Tensor, parts: Parts, seed: int, whitening: Whitening | None) -> Reader:
    """Return the untrained reader of a task, standardised by its training rows."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(f"head {seed} {task.name}"))
        head = task.make_head()
    shape = tuple(task.labels.shape[1:])
    reader = Reader(head, shape, whitening if task.recipe.whiten else None, task.constrain)
    if task.recipe.whiten and task.recipe.objective == "mse":
        labels = task.labels.flatten(1)[parts.train]
        labels = labels[~labels.isnan().any(1)]
        reader.output_mean.copy_(labels.mean(0))
        reader.output_scale.copy_(labels.std(0, correction=0).clamp_min(1e-6))
    return reader


def _grouped(tasks: Sequence[Task], readers: dict[str, Reader], parts: Parts) -> list[_Group]:
    """Stack tasks whose heads have equal layers and recipes."""
    together: dict[tuple[Recipe, str], list[Task]] = {}
    for task in tasks:
        together.setdefault((task.recipe, repr(readers[task.name].head)), []).append(task)
    groups = []
    for (recipe, _), members in together.items():
        labels, known = [], []
        for task in members:
            reader, flat = readers[task.name], task.labels.flatten(1)
            is_known = ~flat.isnan().any(1)
            labels.append(((flat - reader.output_mean) / reader.output_scale).nan_to_num(nan=0.0))
            known.append(is_known.float())
        groups.append(
            _Group(
                names=[task.name for task in members],
                recipe=recipe,
                heads=[readers[task.name].head for task in members],
                inputs=readers[members[0].name].inputs,
                labels=torch.stack(labels),
                known=torch.stack(known),
                steps=max(1, math.ceil(len(parts.train) / recipe.batch_size)),
            )
        )
    return groups
