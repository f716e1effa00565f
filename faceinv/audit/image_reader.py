"""The same attributes read from the photographs, as the upper bound for reading them from descriptors.

The paper's third row comes from networks that see the image. Here one small timm network, with an output per
attribute, is trained on the photographs behind the descriptors, with the same parts.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from faceinv.contracts.progress import Reporter
from faceinv.contracts.specs import Framing
from faceinv.errors import PluginError, UsageError, described, shown, suggest
from faceinv.probes.recipe import EarlyStopping
from faceinv.storage.hashing import seed_of

#: Input of the network: the bank's portrait framing, but closer, so that a mouth is twenty pixels wide.
CROP = Framing("audit-64", (64, 64), ((0.34, 0.40), (0.66, 0.40), (0.50, 0.55), (0.36, 0.69), (0.64, 0.69)))

#: Models whose training is known to run with channels last; others, such as repvgg_a0, crash in torch's backward pass.
_CHANNELS_LAST = ("lcnet_", "mobilenetv3_")


@dataclass(frozen=True)
class ImageRecipe:
    """How the network is trained.

    Args:
        backbone: Name of a timm model; trained from scratch, no weights are fetched.
        epochs: Maximum number of passes over the photographs.
        batch_size: Photographs per step.
        learning_rate: Peak of a one-cycle schedule, AdamW.
        weight_decay: Decoupled weight decay.
        patience: Epochs without progress on any attribute after which training stops.
    """

    backbone: str = "lcnet_050"
    epochs: int = 24
    batch_size: int = 64
    learning_rate: float = 4e-3
    weight_decay: float = 0.05
    patience: int = 8


@dataclass(frozen=True)
class ImageTask:
    """An attribute to read from images.

    Args:
        name: Its name.
        labels: ``(N, *shape)``, NaN where unknown.
        binary: True if it is 0 or 1 and read as a probability.
        constrain: Maps a raw output to a valid attribute.
        mirror: Returns the attribute of the mirror image, or ``None`` if that is unknown.
    """

    name: str
    labels: Tensor
    binary: bool
    constrain: Callable[[Tensor], Tensor]
    mirror: Callable[[Tensor], Tensor | None]


def read_images(
    crops: Tensor,
    tasks: Sequence[ImageTask],
    train: Tensor,
    val: Tensor,
    test: Tensor,
    recipe: ImageRecipe,
    *,
    seed: int,
    device: torch.device | str = "cpu",
    progress: Reporter | None = None,
) -> dict[str, Tensor]:
    """Train the network and return what it reads from the ``test`` images, ``(len(test), *shape)`` by attribute.

    Each attribute is read by the network of the epoch that read it best on ``val``.

    Args:
        crops: ``(N, 3, h, w)`` uint8.
        tasks: What to read.
        train: Rows to learn from.
        val: Rows that choose the epoch.
        test: Rows to read.
        recipe: How to train.
        seed: Seed of first weights, order, flips and brightness.
        device: Where to train.
        progress: Called with (what, done, of).
    """
    with torch.random.fork_rng(devices=[]):
        # timm's initial weights and dropout come from the global generator.
        torch.manual_seed(seed_of(f"image reader {seed}"))
        return _Training(crops, tasks, train, recipe, seed, torch.device(device)).run(val, test, progress)


class _Training:
    def __init__(
        self, crops: Tensor, tasks: Sequence[ImageTask], train: Tensor, recipe: ImageRecipe, seed: int, device: Any
    ) -> None:
        self.crops, self.tasks, self.train, self.recipe, self.device = crops, tasks, train, recipe, device
        self.rng = torch.Generator().manual_seed(seed_of(f"image reader order {seed}"))
        self.mean: list[Tensor] = []
        self.scale: list[Tensor] = []
        for task in tasks:
            flat = task.labels.flatten(1)
            known = flat[train][~flat[train].isnan().any(1)]
            width = flat.shape[1]
            self.mean.append(torch.zeros(width) if task.binary else known.mean(0))
            self.scale.append(torch.ones(width) if task.binary else known.std(0, correction=0).clamp_min(1e-6))
        self.flips = all(task.mirror(task.labels[:1]) is not None for task in tasks)
        self.network = build_backbone(recipe.backbone, sum(len(mean) for mean in self.mean)).to(device)

    def run(self, val: Tensor, test: Tensor, progress: Reporter | None) -> dict[str, Tensor]:
        recipe = self.recipe
        steps = len(batches(self.train, recipe.batch_size))
        optimizer = torch.optim.AdamW(self.network.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=recipe.epochs * steps, pct_start=0.15
        )
        stopping = EarlyStopping(recipe.patience, len(self.tasks))
        kept: dict[str, dict[str, Tensor]] = {}
        for epoch in range(recipe.epochs):
            self.network.train()
            order = self.train[torch.randperm(len(self.train), generator=self.rng)]
            for step, rows in enumerate(batches(order, recipe.batch_size)):
                images, labels = self._batch(rows)
                loss = torch.stack(self._losses(self.network(images), labels)).sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
                if progress:
                    progress("training on photographs", epoch * steps + step + 1, recipe.epochs * steps)
            outputs = self._outputs(val)
            losses = self._losses(outputs, [task.labels[val] for task in self.tasks])
            improved = stopping.improved(torch.stack(losses))
            if improved.any():
                state = copy.deepcopy(self.network.state_dict())
                kept |= {task.name: state for task, better in zip(self.tasks, improved, strict=True) if better}
            if stopping.finished.all():
                break
        if progress:
            progress("training on photographs", recipe.epochs * steps, recipe.epochs * steps)
        return self._read(kept, test)

    def _batch(self, rows: Tensor) -> tuple[Tensor, list[Tensor]]:
        images = self.crops[rows].to(self.device, torch.float32) / 255
        labels = [task.labels[rows] for task in self.tasks]
        # Brightness and contrast vary as cameras do; colours are measured exactly, never read by this network.
        gain = 1 + 0.2 * (2 * torch.rand(len(rows), 1, 1, 1, generator=self.rng) - 1)
        lift = 0.1 * (2 * torch.rand(len(rows), 1, 1, 1, generator=self.rng) - 1)
        images = images * gain.to(images) + lift.to(images)
        if self.flips:
            flipped = torch.rand(len(rows), generator=self.rng) < 0.5
            images[flipped.to(self.device)] = images[flipped.to(self.device)].flip(3)
            for task, label in zip(self.tasks, labels, strict=True):
                mirrored = task.mirror(label[flipped])
                assert mirrored is not None, "there are no flips if the attribute of a mirror image is unknown"
                label[flipped] = mirrored
        return images - 0.5, labels

    def _losses(self, outputs: Tensor, labels: Sequence[Tensor]) -> list[Tensor]:
        """Return the loss of each attribute over the rows with a known label."""
        losses = []
        parts = outputs.split([len(mean) for mean in self.mean], dim=1)
        for task, raw, label, mean, scale in zip(self.tasks, parts, labels, self.mean, self.scale, strict=True):
            target = (label.flatten(1) - mean) / scale
            known = ~target.isnan().any(1)
            target = target[known].to(raw)
            if task.binary:
                loss = nn.functional.binary_cross_entropy_with_logits(raw[known], target, reduction="sum")
            else:
                loss = (raw[known] - target).square().mean(1).sum()
            losses.append(loss / max(1, int(known.sum())))
        return losses

    @torch.no_grad()
    def _outputs(self, rows: Tensor) -> Tensor:
        self.network.eval()
        batches = torch.split(rows, 256)
        outputs = [self.network(self.crops[part].to(self.device, torch.float32) / 255 - 0.5).cpu() for part in batches]
        return torch.cat(outputs)

    def _read(self, kept: dict[str, dict[str, Tensor]], rows: Tensor) -> dict[str, Tensor]:
        found: dict[str, Tensor] = {}
        read: dict[int, Tensor] = {}
        widths = [len(mean) for mean in self.mean]
        for place, task in enumerate(self.tasks):
            state = kept[task.name]
            if id(state) not in read:
                self.network.load_state_dict(state)
                read[id(state)] = self._outputs(rows)
            raw = read[id(state)].split(widths, dim=1)[place] * self.scale[place] + self.mean[place]
            found[task.name] = task.constrain(raw)
        return found


def batches(rows: Tensor, size: int) -> list[Tensor]:
    """Return ``rows`` in batches; a last one of one row, which batch normalisation refuses, joins the one before."""
    parts = list(torch.split(rows, size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


@cache
def backbone_options(name: str) -> dict[str, Any]:
    """Return the options with which timm's model ``name`` reads crops, found by one pass of two of them.

    Raises:
        PluginError: if timm is not installed.
        UsageError: if timm has no such model, or it does not read images of this size.
    """
    try:
        import timm
    except ImportError:
        raise PluginError(
            "Reading from the image needs timm: pip install timm, or leave this out with --no-image."
        ) from None
    if not timm.is_model(name):
        raise UsageError(f"timm has no model '{shown(name)}'.{suggest(name, timm.list_models())}")
    reason = ""
    with torch.random.fork_rng(devices=[]):
        # Models of a fixed size have an option for it.
        for options in ({}, {"img_size": CROP.size}):
            try:
                network = timm.create_model(name, pretrained=False, num_classes=2, **options)
                network(torch.zeros(2, 3, *CROP.size)).sum().backward()
                return options
            except Exception as error:  # whatever a model raises about a size or an option that it does not take
                reason = reason or described(error)
    raise UsageError(
        f"timm's model '{name}' cannot be trained on images of {CROP.size[0]}x{CROP.size[1]}: {reason.rstrip('.')}. "
        "Choose another --backbone, such as 'lcnet_050'."
    )


def build_backbone(name: str, outputs: int) -> nn.Module:
    """Return the untrained timm model ``name`` with ``outputs`` outputs; see :func:`backbone_options` for errors."""
    options = backbone_options(name)
    import timm

    network: nn.Module = timm.create_model(name, pretrained=False, num_classes=outputs, **options)
    return network.to(memory_format=torch.channels_last) if name.startswith(_CHANNELS_LAST) else network
