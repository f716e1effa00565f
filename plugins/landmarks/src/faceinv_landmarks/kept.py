"""Landmark networks that are trained once: what was trained from the same images in the same way is read back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from faceinv.contracts import Framing
from faceinv.plugins.code import MAKING, core_hash, module_hash
from faceinv.storage import cache_folder
from faceinv.storage.tensors import TensorCache
from faceinv_landmarks.material import Source
from faceinv_landmarks.networks import NETWORKS, LandmarkNetwork
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
        "kind": kind,
        "seed": seed,
        "schedule": asdict(schedule),
        "images": source.made_of,
        "core": core_hash(of=MAKING),
        "code": module_hash(__name__),
    }
    tensors = TensorCache(cache_folder() / "trained").load_or_make(f"landmark network {kind}", made_of, make)
    errors = tensors.pop(_ERRORS)
    with torch.device("meta"):
        network = NETWORKS[kind](frame, source.origin)
    network.load_state_dict(tensors, assign=True)
    own, guess = errors.mean(1).tolist()
    return Trained(network.eval(), own, guess, errors.shape[1])


#: The errors of the network and of the mean shape, next to the network's tensors.
_ERRORS = "held-out errors"
