"""What the landmark networks are trained on: samples of a generator or photographs, labelled by dlib."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.errors import InputError
from faceinv.framing import warp_between
from faceinv_landmarks.dlib_labels import DlibLandmarks, label_images

if TYPE_CHECKING:
    from faceinv.contracts import Dataset, Reporter
    from faceinv.models import Loader

#: Fewest images in which dlib has to find a face.
LEAST = 100

_BATCH = 500


@dataclass(frozen=True)
class Material:
    """Images in the network's frame, with their landmarks.

    Args:
        images: ``(N, 3, H, W)`` in ``[0, 1]``, or with 8 bits.
        points: ``(N, 68, 2)`` in frame coordinates.
        train: Rows to train on.
        test: Held-out rows; of photographs, those of other people.
    """

    images: Tensor
    points: Tensor
    train: Tensor
    test: Tensor


@dataclass(frozen=True)
class Source:
    """Where the images come from.

    Args:
        origin: What they are, for records.
        made_of: Everything that they and their labels depend on, for cache keys.
        label: Collects and labels them.
    """

    origin: str
    made_of: Mapping[str, object]
    label: Callable[[Reporter], Material]


def samples_of(loader: Loader, name: str, frame: Framing, n: int, seed: int) -> Source:
    """Return those of ``n`` samples of the generator ``name`` in which dlib finds exactly one face."""
    spec = loader.generator(name).spec
    return Source(
        f"samples of {spec.name}",
        {"generator": loader.provenance(spec), "samples": n, "seed": seed, **_labels(loader, frame)},
        partial(_labelled_samples, loader, name, frame, n, seed),
    )


def photographs_of(loader: Loader, given: str, frame: Framing, detector: str) -> Source:
    """Return those photographs of a data set, ``NAME:PATH``, in which dlib finds exactly one face.

    Raises:
        InputError: the path does not hold such a data set, or cannot be read.
    """
    from faceinv.data import open_dataset

    dataset, spec = open_dataset(loader.host, given)
    finder = loader.provenance(loader.host.spec("detector", detector)) if dataset.framing is None else None
    return Source(
        f"photographs of {spec.name} ({dataset.fingerprint()})",
        {"photographs": dataset.fingerprint(), "detector": finder, **_labels(loader, frame)},
        partial(_labelled_photographs, loader, dataset, spec.name, frame, detector),
    )


def _labels(loader: Loader, frame: Framing) -> dict[str, object]:
    return {"labels": loader.provenance(loader.host.spec("probe", "landmarks.dlib")), "frame": asdict(frame)}


def _labelled_samples(loader: Loader, name: str, frame: Framing, n: int, seed: int, progress: Reporter) -> Material:
    landmarks, generator = DlibLandmarks(loader.store.path("landmarks/dlib68")), loader.generator(name)
    rng = torch.Generator().manual_seed(seed)
    warp = warp_between(generator.framing, frame)
    # A large generator's images are many times those of the networks that ship; 8 bits keep them in memory.
    large = max(frame.size) > 64
    # A pass through a large generator takes gigabytes for a few images.
    size = 8 if large else _BATCH
    images, points = [], []
    with torch.inference_mode():
        for first in range(0, n, size):
            latents = generator.network.sample(min(size, n - first), generator.space(), rng)
            batch = warp(generator.network(latents, generator.space()))
            kept, found = label_images(batch, landmarks)
            images.append(batch[kept].mul(255).round().to(torch.uint8) if large else batch[kept])
            points.append(found)
            progress("labelling samples", first + len(latents), n)
    # Inference tensors cannot be used in training.
    all_images, all_points = torch.cat(images).clone(), torch.cat(points).clone()
    _check(len(all_points), n, f"samples of {generator.spec.name}")
    rows, held_out = torch.arange(len(all_points)), len(all_points) // 10
    return Material(all_images, all_points, rows[held_out:], rows[:held_out])


def _labelled_photographs(
    loader: Loader, dataset: Dataset, name: str, frame: Framing, detector: str, progress: Reporter
) -> Material:
    """Label them; a fifth of the people is held out."""
    from faceinv.bank import BankSettings, open_bank
    from faceinv.data import hashed_splits
    from faceinv.storage import cache_folder

    bank = open_bank(
        loader,
        dataset,
        probes=["landmarks.dlib"],
        settings=BankSettings(frame=frame, crop=frame, detector=detector),
        folder=cache_folder() / "banks",
        progress=progress,
    )
    points = bank.attributes["landmarks.dlib"]
    found = points.isfinite().flatten(1).all(1) & bank.usable
    _check(int(found.sum()), len(found), f"photographs of {name}")
    part = hashed_splits(dataset.identities or dataset.ids)
    held_out = torch.tensor([name == "test" for name in part])
    assert bank.crops is not None
    train, test = ((found & which).nonzero().flatten() for which in (~held_out, held_out))
    return Material(bank.crops, points, train, test)


def _check(found: int, of: int, what: str) -> None:
    if found < LEAST:
        raise InputError(f"dlib finds a face in {found} of {of} {what}; at least {LEAST} are needed to train.")
