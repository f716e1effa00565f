"""Landmark networks that are trained once: what was trained from the same images in the same way is read back."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.storage import cache_folder, fingerprint, load_or_make
from faceinv_landmarks.material import Source
from faceinv_landmarks.networks import NETWORKS, LandmarkNetwork, save_network
from faceinv_landmarks.probe import interocular_error
from faceinv_landmarks.training import Schedule, as_floats, train_network

if TYPE_CHECKING:
    from faceinv.contracts import Reporter


@dataclass(frozen=True)
class Trained:
    """A trained network and how well it reads held-out images.

    Args:
        network: The network.
        error: Its mean error in % of the interocular distance.
        guess: The error of always guessing the mean shape.
        held_out: Number of held-out images.
    """

    network: LandmarkNetwork
    error: float
    guess: float
    held_out: int


def trained_network(
    kind: str,
    source: Source,
    frame: Framing,
    *,
    seed: int,
    schedule: Schedule,
    say: Callable[[str], None],
    progress: Reporter,
) -> Trained:
    """Return a trained network, from the cache folder if it is there.

    Args:
        kind: ``"measure"`` or ``"judge"``.
        source: What it is trained on.
        frame: Framing of the images.
        seed: Seed of the initial weights, the order and the augmentation.
        schedule: Epochs, batch size and rates.
        say: Called with a line after each epoch.
        progress: Called with (what, done, of) while images are labelled.

    Raises:
        InputError: if dlib finds a face in too few images.
        StorageError: if the cache folder cannot be written to.
    """

    def make() -> dict[str, Tensor]:
        material = source.label(progress)
        network = train_network(
            kind,
            material.images[material.train],
            material.points[material.train],
            seed=seed,
            frame=frame,
            trained_on=source.origin,
            schedule=schedule,
            progress=lambda epoch, loss: say(f"epoch {epoch} of {schedule.epochs}: loss {loss:.4f}"),
        )
        with torch.inference_mode():
            truth = material.points[material.test]
            read = torch.cat([network(as_floats(material.images[rows])) for rows in material.test.split(64)])
            guess = material.points[material.train].mean(0).expand_as(truth)
            errors = torch.stack([interocular_error(points, truth) for points in (read, guess)])
        return {**network.state_dict(), _ERRORS: errors.clone()}

    made_of = {
        "version": _VERSION,
        "kind": kind,
        "seed": seed,
        "schedule": asdict(schedule),
        "images": source.made_of,
    }
    path = cache_folder() / "trained" / f"landmark network {kind}-{fingerprint(made_of)}.safetensors"
    tensors = load_or_make(path, make, say, made_of)
    errors = tensors.pop(_ERRORS)
    with torch.device("meta"):
        network = NETWORKS[kind](frame, source.origin)
    network.load_state_dict(tensors, assign=True)
    own, guess = errors.mean(1).tolist()
    return Trained(network.eval(), own, guess, errors.shape[1])


def write_network(network: LandmarkNetwork, path: Path) -> None:
    """Write a network as safetensors: the same network as the same bytes, so that records made with it stay valid."""
    save_network(network, path)
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    # safetensors writes the metadata in another order each time.
    header = json.dumps(json.loads(content[8 : 8 + size]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    path.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + size :])


#: Of the training, to be raised with a change of it: the parts of a cache key contain no code but that of probes.
_VERSION = 1
#: The errors of the network and of the mean shape, next to the network's tensors.
_ERRORS = "held-out errors"
