"""The attribute "landmarks": 68 points, measured by a small CNN and predicted from the descriptor by an MLP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from faceinv.contracts import Framing, Probe, Recipe
from faceinv.framing import Warp, framing_similarity
from faceinv_landmarks.dlib_labels import DlibLandmarks
from faceinv_landmarks.networks import MIRROR, LandmarkNetwork, load_network, network_frame

#: Outer eye corners (0-based, iBUG 300-W scheme), whose distance is the interocular distance.
OUTER_EYES = (36, 45)


class FramedLandmarks(nn.Module):
    """A landmark network that takes images and returns landmarks in ``framing`` instead of its own frame."""

    linear: Tensor
    offset: Tensor

    def __init__(self, network: LandmarkNetwork, framing: Framing) -> None:
        super().__init__()
        self.network = network
        frame = network.frame
        there = framing_similarity(framing, frame)
        self.warp = Warp(there, framing.size, frame.size)
        # From the network's frame coordinates to those of ``framing``.
        back = np.linalg.inv(there[:, :2])
        own, target = np.array([frame.size[1], frame.size[0]]), np.array([framing.size[1], framing.size[0]])
        self.register_buffer("linear", torch.from_numpy((back * own / target[:, None]).T).float(), persistent=False)
        self.register_buffer("offset", torch.from_numpy(-back @ there[:, 2] / target).float(), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)`` of images ``(B, 3, H, W)``, both in ``framing``."""
        points: Tensor = self.network(self.warp(images)) @ self.linear + self.offset
        return points


class LandmarksProbe(Probe):
    """68 landmarks, (x, y) in frame coordinates (0 to 1 across the frame).

    Args:
        weights: The network "measure".
        framing: Where the face sits in the images.
    """

    shape = (68, 2)

    def __init__(self, weights: Path, *, framing: Framing) -> None:
        self.framing = framing
        network = load_network("measure", weights)
        self.landmarks = FramedLandmarks(network, framing)
        self.measured_by = f"the landmark network trained on {network.trained_on}"
        self.remarks = misfit(network, framing, "measure", "landmarks")

    def label(self, images: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)`` by the measuring network, which was trained on dlib's labels."""
        return self.measure(images)

    def measure(self, images: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)``, differentiable in ``images`` ``(B, 3, H, W)``."""
        points: Tensor = self.landmarks(images)
        return points

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the mean distance of the landmarks in % of the interocular distance of ``truth``, ``(B,)``."""
        return interocular_error(predicted, truth)

    def paper_head(self, dim: int) -> nn.Module:
        """Return the paper's MLP: three layers, 256 units per hidden layer, 136 outputs (section 3.3)."""
        return nn.Sequential(nn.Linear(dim, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 136))

    def paper_recipe(self) -> Recipe:
        """Return the paper's recipe: SGD on the squared error, rate 1e-3, batch 16, 150 epochs (section 3.3)."""
        return Recipe(optimizer="sgd", learning_rate=1e-3, batch_size=16, epochs=150)

    def mirror(self, attribute: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)`` of the mirror images."""
        return attribute[:, list(MIRROR)] * attribute.new_tensor([-1, 1]) + attribute.new_tensor([1, 0])


class DlibLandmarksProbe(LandmarksProbe):
    """The same landmarks labelled by dlib, as in the paper; for photographs, for which the small network is not made.

    They cannot be measured differentiably, so they cannot be a loss.

    Args:
        predictor: dlib's 68-point predictor.
        framing: Where the face sits in the images.
    """

    def __init__(self, predictor: Path, *, framing: Framing) -> None:
        self._find = DlibLandmarks(predictor)
        self.measured_by = "dlib's 68-point predictor"

    def label(self, images: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)``; NaN for an image in which dlib finds no face, or more than one."""
        found = [self._find(image) for image in images]
        nothing = images.new_full(self.shape, float("nan"))
        return torch.stack([nothing if points is None else points.to(images) for points in found])

    def measure(self, images: Tensor) -> Tensor:
        """Raise :class:`NotImplementedError`: dlib's regression trees have no gradient."""
        raise NotImplementedError("dlib's landmarks cannot be measured differentiably; use the probe 'landmarks'.")


def misfit(network: LandmarkNetwork, framing: Framing, kind: str, name: str) -> tuple[str, ...]:
    """Return a sentence if images in ``framing`` are not what a network was trained for, and what to do about it.

    Args:
        network: The network.
        framing: Framing of the images.
        kind: Its kind, ``"measure"`` or ``"judge"``.
        name: The probe or metric whose weights file it is.
    """
    suits, own = network_frame(framing), network.frame
    if (suits.size, suits.points) == (own.size, own.points):
        return ()
    return (
        f"'{name}' is measured by a network trained on {network.trained_on} ({own.name}), not for the frame "
        f"'{framing.name}'; train one with 'faceinv train-landmarks {kind} --generator NAME --out FILE' and name it "
        f"with --weights {name}=FILE.",
    )


def interocular_error(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return the mean distance of landmarks ``(B, 68, 2)`` in % of the true outer eye corners' distance, ``(B,)``.

    As in the paper's Table 1 ("percentage of the interocular distance"). The paper does not name the corners; the outer
    ones are the usual choice for 68 landmarks.
    """
    left, right = OUTER_EYES
    interocular = (truth[:, left] - truth[:, right]).norm(dim=1)
    error: Tensor = 100 * (predicted - truth).norm(dim=2).mean(1) / interocular
    return error
