"""Training of heads: one loop over the descriptors for all of them, with equal heads stacked into one.

The heads of an audit are small, and one step of one head is mostly overhead. Heads with equal layers share every
operation (their parameters are stacked, and :func:`torch.vmap` runs them as one), and all heads with equal
batches share the loop. Each head is trained as if it were alone, up to rounding: parameters, batch order,
dropout and noise depend on the seed and the head's own name, never on the other heads.
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
from faceinv.probes.reader import Reader, Readings
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
        loss: Loss ``(B,)`` of outputs ``(B, *shape)``, not constrained, and labels, for recipes that whiten; where it
            is missing or returns ``None``, the squared distance of standardised attributes.
    """

    name: str
    labels: Tensor
    make_head: Callable[[], nn.Module]
    recipe: Recipe
    constrain: Callable[[Tensor], Tensor] | None = None
    loss: Callable[[Tensor, Tensor], Tensor | None] | None = None


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
    whitening: Whitening | Readings | None = None,
    ahead: bool = False,
    what: str = "training heads",
    progress: Reporter | None = None,
) -> dict[str, Reader]:
    """Return a trained reader for each task.

    Args:
        descriptors: ``(N, dim)``; may be mapped from a file, since rows are read batch by batch.
        tasks: Attributes to learn.
        parts: Rows for training and validation.
        seed: Seed of initial weights, batch order, dropout and noise.
        whitening: For recipes that whiten; by default fitted to the rows for training.
        ahead: Whiten all descriptors once and keep them in memory, instead of batch by batch.
        what: Name for progress.
        progress: Called with (what, epochs done, of).
    """
    if whitening is None and any(task.recipe.whiten for task in tasks):
        whitening = Whitening.fitted(descriptors, parts.train)
    rows_of = _rows_of(descriptors, whitening, ahead)
    readers = {task.name: _reader(task, parts, seed, whitening) for task in tasks}
    for task in tasks:
        if task.recipe.optimizer == "ridge":
            _solve(task, readers[task.name], rows_of[task.recipe.whiten], parts.train)
    groups = _grouped([task for task in tasks if task.recipe.optimizer != "ridge"], readers, rows_of, parts)
    loops: dict[tuple[int, int], list[_Group]] = {}
    for group in groups:
        loops.setdefault((group.recipe.batch_size, group.recipe.epochs), []).append(group)
    total, done = sum(epochs for _, epochs in loops), 0
    with torch.random.fork_rng(devices=[]):
        for (batch_size, epochs), members in loops.items():
            for group in members:
                # If nothing can be learnt, the untrained head is the best one.
                group.validate(parts.val)
            order = torch.Generator().manual_seed(seed_of(f"order {seed}"))
            for epoch in range(epochs):
                _epoch(members, parts, batch_size, order, seed, epoch)
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
        for group in active:
            if group.is_random:
                # Dropout takes no generator, so seed globally: each head sees the same noise
                # regardless of the other heads.
                torch.manual_seed(seed_of(f"dropout {seed} {epoch} {number}"))
            group.step(rows)
    for group in active:
        group.validate(parts.val)


@dataclass
class _Group:
    """Heads with equal layers and recipe, their parameters stacked.

    Args:
        names: Names of the tasks.
        recipe: The recipe of all of them.
        heads: The untrained heads.
        rows_of: Returns the heads' inputs ``(B, dim)`` in these rows.
        labels: ``(K, N, k)`` in standardised units; 0 where unknown.
        known: ``(K, N)``: 1 where a label is known, else 0.
        steps: Optimiser steps per epoch.
        loss: Loss ``(B,)`` of outputs and labels in standardised units; by default the recipe's objective.
    """

    names: list[str]
    recipe: Recipe
    heads: list[nn.Module]
    rows_of: Callable[[Tensor], Tensor]
    labels: Tensor
    known: Tensor
    steps: int
    loss: Callable[[Tensor, Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        parameters, buffers = stack_module_state(self.heads)
        self._parameters = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        self._buffers = buffers
        self._optimizer = make_optimizer(self._parameters.values(), self.recipe)
        self._taken = 0
        self._stopping = EarlyStopping(self.recipe.patience, len(self.heads))
        self._kept: dict[str, Tensor] | None = None
        self._module = self.heads[0]
        has_dropout = any(isinstance(module, nn.Dropout) for module in self._module.modules())
        self.is_random = has_dropout or bool(self.recipe.noise)

    @property
    def is_finished(self) -> bool:
        """True once every head is out of patience."""
        return bool(self._stopping.finished.all())

    def step(self, rows: Tensor) -> None:
        """Take one step on a batch."""
        self._module.train()
        set_learning_rate(self._optimizer, self.recipe, self._taken, self.recipe.epochs * self.steps)
        loss = self._losses(rows).sum()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._taken += 1

    def validate(self, rows: Tensor) -> None:
        """Keep the parameters of each head that improved on ``rows``."""
        if not self.recipe.patience or not len(rows):
            return
        self._module.eval()
        with torch.no_grad():
            sums, counts = torch.zeros(len(self.names)), torch.zeros(len(self.names))
            for part in torch.split(rows, 4096):
                weight = self.known[:, part].sum(1)
                sums += self._losses(part) * weight
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

    def _losses(self, rows: Tensor) -> Tensor:
        """Return the mean loss of each head over the rows whose label is known, ``(K,)``."""
        inputs = self.rows_of(rows)
        if self._module.training and self.recipe.noise:
            inputs = inputs + self.recipe.noise * torch.randn_like(inputs)
        if len(self.heads) == 1:
            own = {name: value[0] for name, value in (self._parameters | self._buffers).items()}
            outputs = functional_call(self._module, own, (inputs,))[None]
        else:
            outputs = torch.vmap(self._call, in_dims=(0, 0, None), randomness="same")(
                self._parameters, self._buffers, inputs
            )
        labels, known = self.labels[:, rows], self.known[:, rows]
        if self.loss:
            losses = torch.stack([self.loss(*each) for each in zip(outputs, labels, strict=True)])
        elif self.recipe.objective == "bce":
            losses = nn.functional.binary_cross_entropy_with_logits(outputs, labels, reduction="none").mean(2)
        else:
            losses = (outputs - labels).square().mean(2)
        return (losses * known).sum(1) / known.sum(1).clamp_min(1)

    def _call(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor) -> Tensor:
        outputs: Tensor = functional_call(self._module, parameters | buffers, (inputs,))
        return outputs


def _rows_of(
    descriptors: Tensor, whitening: Whitening | Readings | None, ahead: bool
) -> dict[bool, Callable[[Tensor], Tensor]]:
    """Return what looks up rows of the descriptors, by whether they are whitened."""
    rows_of: dict[bool, Callable[[Tensor], Tensor]] = {False: descriptors.__getitem__}
    if whitening is not None and ahead:
        device = next(whitening.buffers()).device
        rows_of[True] = whitening(descriptors.to(device)).to(descriptors.device).__getitem__
    elif whitening is not None:
        rows_of[True] = lambda rows: whitening(descriptors[rows])
    return rows_of


def _solve(task: Task, reader: Reader, rows_of: Callable[[Tensor], Tensor], rows: Tensor) -> None:
    """Set a linear head to the ridge regression of standardised labels."""
    labels = (task.labels.flatten(1)[rows] - reader.output_mean) / reader.output_scale
    known = ~labels.isnan().any(1)
    inputs, labels = rows_of(rows[known]).double(), labels[known].double()
    mean = inputs.mean(0)
    inputs = inputs - mean
    gram = inputs.T @ inputs / len(inputs)
    gram.diagonal().add_(task.recipe.weight_decay)
    weight = torch.linalg.solve(gram, inputs.T @ labels / len(inputs))
    reader.head.load_state_dict({"weight": weight.T.float(), "bias": (labels.mean(0) - mean @ weight).float()})
    reader.eval().requires_grad_(False)


def _reader(task: Task, parts: Parts, seed: int, whitening: Whitening | Readings | None) -> Reader:
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


def _grouped(
    tasks: Sequence[Task],
    readers: dict[str, Reader],
    rows_of: dict[bool, Callable[[Tensor], Tensor]],
    parts: Parts,
) -> list[_Group]:
    """Stack tasks whose heads have equal layers and recipes; with losses of their own, only those with equal labels."""
    together: dict[tuple[Recipe, str, int], list[Task]] = {}
    losses = {task.name: _own_loss(task, readers[task.name]) for task in tasks}
    for task in tasks:
        # Such a loss is in the labels' own units, and each set of labels is standardised by itself.
        own = id(task.labels) if losses[task.name] else 0
        together.setdefault((task.recipe, repr(readers[task.name].head), own), []).append(task)
    groups = []
    for (recipe, *_), members in together.items():
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
                rows_of=rows_of[recipe.whiten],
                labels=torch.stack(labels),
                known=torch.stack(known),
                steps=max(1, math.ceil(len(parts.train) / recipe.batch_size)),
                loss=losses[members[0].name],
            )
        )
    return groups


def _own_loss(task: Task, reader: Reader) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Return the task's own loss of outputs and labels in standardised units, if it has one."""
    given, example = task.loss, task.labels[:1]
    if given is None or not task.recipe.whiten or given(example, example) is None:
        return None

    def own(outputs: Tensor, labels: Tensor) -> Tensor:
        raw = [(each * reader.output_scale + reader.output_mean).view(-1, *reader.shape) for each in (outputs, labels)]
        loss = given(*raw)
        assert loss is not None, "a loss that there is for one label is there for all"
        return loss

    return own
