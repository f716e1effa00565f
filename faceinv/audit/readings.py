"""Readings of the test images: from descriptors by trained heads, from the photographs, and by a constant guess."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from faceinv.audit.attributes import Attribute
from faceinv.audit.image_reader import ImageRecipe, ImageTask, read_images
from faceinv.audit.material import Material
from faceinv.audit.paper_image import paper_recipe, read_by_paper
from faceinv.audit.rows import Reading
from faceinv.bank.bank import Bank
from faceinv.contracts.probes import DerivedProbe, Probe, Recipe
from faceinv.contracts.progress import Reporter
from faceinv.plugins.code import MAKING, core_hash
from faceinv.probes.reader import Reader, TunedHead
from faceinv.probes.recipe import LINEAR, TUNED
from faceinv.probes.training import Parts, Task, train_heads
from faceinv.storage.hashing import fingerprint
from faceinv.storage.tensors import load_or_make

#: Rows of each part of the data set, by its name.
Rows = Mapping[str, Tensor]


def descriptor_readings(
    material: Material, items: Sequence[Attribute], bank: Bank, rows: Rows, progress: Reporter | None
) -> dict[str, list[Reading]]:
    """Train each recipe's heads and return what they read from the test descriptors, by attribute."""
    settings, labels, dim = material.settings, material.labels, bank.descriptors.shape[1]
    tasks: dict[str, Task] = {}
    derived: list[tuple[Attribute, DerivedProbe]] = []
    for recipe in settings.recipes:
        for item in items:
            if recipe == "linear":
                task: Task | None = _linear_task(item, labels[item.name], dim)
            elif recipe == "tuned":
                task = tuned_task(item, labels[item.name], dim)
            elif isinstance(item.probe, DerivedProbe):
                derived.append((item, item.probe))
                continue
            else:
                task = _paper_task(item.name, item.probe, labels[item.name], dim)
            if task:
                tasks[task.name] = task
    for item, probe in derived:
        for name, source in zip(item.measured, probe.sources, strict=True):
            if f"paper {name}" not in tasks and (task := _paper_task(name, source, bank.attributes[name].clone(), dim)):
                tasks[task.name] = task
    parts = Parts(rows["train"], rows["val"])
    readers = train_heads(bank.descriptors, list(tasks.values()), parts, seed=settings.seed, progress=progress)
    found: dict[str, list[Reading]] = {item.name: [] for item in items}
    for recipe in settings.recipes:
        for item in items:
            values = _read(item, recipe, readers, bank.descriptors, rows["test"])
            if values is not None:
                found[item.name].append(Reading("descriptor", recipe, values))
    return found


def tuned_task(item: Attribute, labels: Tensor, dim: int) -> Task:
    """Return the task of the recipe ``"tuned"``, the same for all attributes except for the loss."""
    outputs = labels[0].numel()
    recipe = replace(TUNED, objective="bce" if item.is_binary else "mse")
    return Task(f"tuned {item.name}", labels, lambda: tuned_head(dim, outputs), recipe, item.probe.constrain)


def _linear_task(item: Attribute, labels: Tensor, dim: int) -> Task:
    """Return the task of the recipe ``"linear"``: a single layer, solved at once; binary labels are numbers to it."""
    outputs, constrain = labels[0].numel(), None if item.is_binary else item.probe.constrain
    return Task(f"linear {item.name}", labels, lambda: nn.Linear(dim, outputs), LINEAR, constrain)


def tuned_head(dim: int, outputs: int) -> nn.Module:
    """Return the untrained head of the recipe ``"tuned"``, small and shallow: photographs are few."""
    return TunedHead(dim, outputs, width=128, dropout=0.3, hidden=2)


def _paper_task(name: str, probe: Probe, labels: Tensor, dim: int) -> Task | None:
    """Return the task of the recipe ``"paper"``; ``None`` if the paper does not read this attribute."""
    try:
        probe.paper_head(dim)
        recipe = probe.paper_recipe()
    except NotImplementedError:
        return None
    return Task(f"paper {name}", labels, lambda: probe.paper_head(dim), recipe, probe.constrain)


def _read(
    item: Attribute, recipe: str, readers: Mapping[str, Reader], descriptors: Tensor, rows: Tensor
) -> Tensor | None:
    """Return what a recipe reads; ``None`` if the paper does not read this attribute."""
    reader = readers.get(f"{recipe} {item.name}")
    if reader is not None:
        return _in_parts(reader, descriptors, rows)
    sources = [readers.get(f"{recipe} {name}") for name in item.measured]
    if isinstance(item.probe, DerivedProbe) and all(sources):
        # The paper reads landmarks; the pose derived from them is how well its recipe reads the pose.
        return item.probe.derive(*(_in_parts(source, descriptors, rows) for source in sources if source))
    return None


@torch.inference_mode()
def _in_parts(reader: Reader, descriptors: Tensor, rows: Tensor) -> Tensor:
    return torch.cat([reader(descriptors[part]) for part in torch.split(rows, 4096)])


def image_readings(
    material: Material, items: Sequence[Attribute], rows: Rows, folder: Path, progress: Reporter | None
) -> dict[str, list[Reading]]:
    """Return what is read from the test photographs themselves, by attribute.

    Args:
        material: The photographs.
        items: Attributes to read.
        rows: Rows of each part.
        folder: Cache folder.
        progress: Called with (what, done, of).
    """
    labels, recipe = material.labels, material.settings.image
    found = {
        item.name: [Reading("image", "exact", labels[item.name][rows["test"]])] if item.is_exact else []
        for item in items
    }
    if material.trains_on_images and recipe is not None:
        learned = [item for item in items if not item.is_exact]
        for name, values in _network_readings(material, learned, recipe, rows, folder, progress).items():
            found[name].append(Reading("image", recipe.backbone, values))
        if "paper" in material.settings.recipes:
            for name, values in _paper_readings(material, learned, rows, folder, progress).items():
                found[name].append(Reading("image", "paper", values))
    return found


def _network_readings(
    material: Material,
    items: Sequence[Attribute],
    recipe: ImageRecipe,
    rows: Rows,
    folder: Path,
    progress: Reporter | None,
) -> dict[str, Tensor]:
    labels, seed = material.labels, material.settings.seed
    crops = _crops(material)
    tasks = [
        ImageTask(item.name, labels[item.name], item.is_binary, item.probe.constrain, item.probe.mirror)
        for item in items
    ]
    key = _image_key(material, rows, asdict(recipe), {task.name: task.labels for task in tasks})

    def make() -> dict[str, Tensor]:
        device, parts = material.loader.device, (rows["train"], rows["val"], rows["test"])
        return read_images(crops, tasks, *parts, recipe, seed=seed, device=device, progress=progress)

    return load_or_make(folder / f"image reader-{key}.safetensors", make, material.say)


def _paper_readings(
    material: Material, items: Sequence[Attribute], rows: Rows, folder: Path, progress: Reporter | None
) -> dict[str, Tensor]:
    """Return what the paper's network reads, by attribute; the pose is that of the landmarks that it reads."""
    bank = material.bank("")
    probes: dict[str, Probe] = {}
    for item in items:
        if isinstance(item.probe, DerivedProbe):
            probes |= dict(zip(item.measured, item.probe.sources, strict=True))
    labels = {name: bank.attributes[name].clone() for name in probes}
    for item in items:
        if not isinstance(item.probe, DerivedProbe):
            probes[item.name], labels[item.name] = item.probe, material.labels[item.name]
    recipes = {name: paper_recipe(probe) for name, probe in probes.items()}
    read = {
        name: probes[name].constrain(_read_by_paper(material, name, labels[name], recipe, rows, folder, progress))
        for name, recipe in recipes.items()
        if recipe is not None
    }
    found = {item.name: read[item.name] for item in items if item.name in read}
    for item in items:
        if isinstance(item.probe, DerivedProbe) and all(name in read for name in item.measured):
            found[item.name] = item.probe.derive(*(read[name] for name in item.measured))
    return found


def _read_by_paper(
    material: Material,
    name: str,
    labels: Tensor,
    recipe: Recipe,
    rows: Rows,
    folder: Path,
    progress: Reporter | None,
) -> Tensor:
    crops, seed, device = _crops(material), material.settings.seed, material.loader.device
    key = _image_key(material, rows, asdict(recipe), {name: labels})

    def make() -> dict[str, Tensor]:
        parts = (rows["train"], rows["test"])
        return {"read": read_by_paper(crops, labels, recipe, *parts, seed=seed, device=device, progress=progress)}

    return load_or_make(folder / f"paper image reader-{key}.safetensors", make, material.say)["read"]


def _crops(material: Material) -> Tensor:
    crops = material.bank("").crops
    assert crops is not None, "the bank keeps crops if a network is trained on them"
    return crops


def _image_key(material: Material, rows: Rows, recipe: Mapping[str, object], labels: Mapping[str, Tensor]) -> str:
    """Return the key under which the readings of a network that sees the photographs are kept."""
    return fingerprint(
        {
            "version": 1,
            "bank": material.bank("").key,
            "core": core_hash("audit", "bank", of=MAKING),
            "recipe": recipe,
            "seed": material.settings.seed,
            "labels": {name: digest(values) for name, values in labels.items()},
            "parts": {part: digest(of_part) for part, of_part in rows.items()},
        }
    )


def baseline(material: Material, item: Attribute, rows: Rows) -> Reading:
    """Return the guess that needs no descriptor: the mean label of the training part.

    For a binary attribute that is the share of 1s, which lies on the majority's side of 0.5.
    """
    labels = material.labels[item.name][rows["train"]]
    known = labels[material.known(item)[rows["train"]]]
    return Reading("baseline", None, known.mean(0).expand(len(rows["test"]), *known.shape[1:]))


def digest(values: Tensor) -> str:
    """Return a short hash of a tensor's values."""
    return hashlib.sha256(values.contiguous().numpy().tobytes()).hexdigest()[:16]
