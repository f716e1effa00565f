"""Two networks for 68 landmarks: the paper's plain CNN for the loss, and another one for the score.

The loss optimises what its own network sees, so that network cannot judge the result. The score comes from a second
network with another architecture, trained from another seed on other samples, that no loss uses.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from faceinv.contracts import Framing
from faceinv.errors import WeightsError
from faceinv.weights import load_strictly, read_tensors

#: The framing of both networks that ship: that of the samples they were trained on.
FRAME = Framing(
    "landmarks-64", (64, 64), ((0.348, 0.470), (0.647, 0.466), (0.500, 0.654), (0.371, 0.812), (0.630, 0.809))
)

#: What the networks that ship were trained on.
SHIPPED = "samples of dcgan.digiface"

#: Longest side of a network's frame in pixels, as in the paper, which scales all images to it (section 3).
LONGEST = 224

#: Index of each landmark's mirror image (0-based, iBUG 300-W scheme).
MIRROR = (
    *range(16, -1, -1),
    *range(26, 16, -1),
    *(27, 28, 29, 30),
    *(35, 34, 33, 32, 31),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48),
    *(59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60),
    *(67, 66, 65),
)


def network_frame(framing: Framing) -> Framing:
    """Return the frame of a network for images in ``framing``: the same view, with sides of 224 pixels at most."""
    scale = min(1.0, LONGEST / max(framing.size))
    height, width = (max(1, round(side * scale)) for side in framing.size)
    return Framing(framing.name, (height, width), framing.points)


class LandmarkNetwork(nn.Module):
    """Network from images ``(B, 3, H, W)`` in ``[0, 1]`` in its ``frame`` to landmarks ``(B, 68, 2)`` in ``[0, 1]``.

    Subclasses predict offsets from ``mean_shape`` in units of ``spread``; both are part of the weights.

    Args:
        frame: Size of the images, and where the face is in them.
        trained_on: What it was trained on, for records.
    """

    mean_shape: Tensor
    spread: Tensor

    def __init__(self, frame: Framing = FRAME, trained_on: str = SHIPPED) -> None:
        super().__init__()
        self.frame = frame
        self.trained_on = trained_on
        self.register_buffer("mean_shape", torch.zeros(68, 2))
        self.register_buffer("spread", torch.ones(()))

    def _offsets(self, images: Tensor) -> Tensor:
        """Return ``(B, 136)`` offsets in units of ``spread``."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Return the landmarks ``(B, 68, 2)``, (x, y) in frame coordinates."""
        return self._offsets(images - 0.5).view(-1, 68, 2) * self.spread + self.mean_shape


class MeasureNetwork(LandmarkNetwork):
    """The paper's network: five convolutions and two fully connected layers with ReLU (section 3.3).

    It may be trained with BatchNorm, which is folded into the convolutions afterwards (:func:`fold`), so that the plain
    network is kept.
    """

    widths = (24, 48, 64, 96, 96)

    def __init__(self, frame: Framing = FRAME, trained_on: str = SHIPPED, *, normalise: bool = False) -> None:
        super().__init__(frame, trained_on)
        # A last map of 4x4 for a side of 64, of 7x7 for one of 224.
        strides = (2, 2, 2, 2, 1 if max(frame.size) <= 64 else 2)
        layers: list[nn.Module] = []
        inputs = 3
        for width, stride in zip(self.widths, strides, strict=True):
            layers.append(nn.Conv2d(inputs, width, 3, stride, 1))
            if normalise:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            inputs = width
        self.convolutions = nn.Sequential(*layers)
        self.hidden = nn.Linear(inputs * _area(frame, strides.count(2)), 256)
        self.output = nn.Linear(256, 136)

    def _offsets(self, images: Tensor) -> Tensor:
        features = self.convolutions(images).flatten(1)
        offsets: Tensor = self.output(torch.relu(self.hidden(features)))
        return offsets


class _Residual(nn.Module):
    def __init__(self, inputs: int, outputs: int, normalise: bool) -> None:
        super().__init__()

        def norm() -> nn.Module:
            return nn.BatchNorm2d(outputs) if normalise else nn.Identity()

        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, 2, 1), norm(), nn.ReLU(), nn.Conv2d(outputs, outputs, 3, 1, 1), norm()
        )
        self.shortcut = nn.Conv2d(inputs, outputs, 1, 2)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.body(features) + self.shortcut(features))


class JudgeNetwork(LandmarkNetwork):
    """A small residual network with a linear head on the last feature map, a sixteenth of the frame's size."""

    widths = (24, 32, 64, 96)

    def __init__(self, frame: Framing = FRAME, trained_on: str = SHIPPED, *, normalise: bool = False) -> None:
        super().__init__(frame, trained_on)
        self.stem = nn.Sequential(
            nn.Conv2d(3, self.widths[0], 3, 2, 1),
            nn.BatchNorm2d(self.widths[0]) if normalise else nn.Identity(),
            nn.ReLU(),
        )
        pairs = zip(self.widths[:-1], self.widths[1:], strict=True)
        self.blocks = nn.Sequential(*(_Residual(a, b, normalise) for a, b in pairs))
        self.output = nn.Linear(self.widths[-1] * _area(frame, len(self.widths)), 136)

    def _offsets(self, images: Tensor) -> Tensor:
        offsets: Tensor = self.output(self.blocks(self.stem(images)).flatten(1))
        return offsets


def _area(frame: Framing, halvings: int) -> int:
    """Return the pixels of a feature map after so many convolutions of stride 2."""
    height, width = (math.ceil(side / (1 << halvings)) for side in frame.size)
    return height * width


NETWORKS: dict[str, type[MeasureNetwork] | type[JudgeNetwork]] = {"measure": MeasureNetwork, "judge": JudgeNetwork}


def fold(network: nn.Module) -> None:
    """Fold every BatchNorm into the preceding convolution, in place; exact up to rounding."""
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for index in range(1, len(module)):
            norm, convolution = module[index], module[index - 1]
            if isinstance(norm, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
                module[index - 1] = nn.utils.fusion.fuse_conv_bn_eval(convolution.eval(), norm.eval())
                module[index] = nn.Identity()


def folded_copy(kind: str, trained: LandmarkNetwork) -> LandmarkNetwork:
    """Return a network of this ``kind`` without BatchNorm that computes the same as ``trained``."""
    fold(trained)
    plain = _empty(kind, trained.frame, trained.trained_on)
    # The layers keep their order; only the indices shift where BatchNorms were.
    plain.load_state_dict(dict(zip(plain.state_dict(), trained.state_dict().values(), strict=True)), assign=True)
    return plain.eval()


def _empty(kind: str, frame: Framing, trained_on: str) -> MeasureNetwork | JudgeNetwork:
    # Initial weights would be drawn from the global generator only to be overwritten.
    with torch.device("meta"):
        return NETWORKS[kind](frame, trained_on)


def save_network(network: LandmarkNetwork, path: Path) -> None:
    """Write a network with its frame and what it was trained on, as safetensors in half precision.

    Half precision halves the file and moves points by less than a hundredth of a pixel.
    """
    tensors = {name: tensor.half().contiguous() for name, tensor in network.state_dict().items()}
    frame = {"name": network.frame.name, "size": network.frame.size, "points": network.frame.points}
    save_file(tensors, path, {"frame": json.dumps(frame), "trained_on": network.trained_on})


def load_network(kind: str, path: Path) -> LandmarkNetwork:
    """Return the network of this ``kind`` with the weights in ``path`` (safetensors, half or single precision).

    Raises:
        WeightsError: the file does not hold this network.
    """
    try:
        network = _empty(kind, *_about(path))
        load_strictly(network, read_tensors(path), network=f"landmarks {kind}")
    except WeightsError as error:
        raise WeightsError(
            f"{path} does not hold the landmark network '{kind}': {error} Train it with: faceinv train-landmarks {kind}"
        ) from None
    return network.eval()


def _about(path: Path) -> tuple[Framing, str]:
    """Return the frame of a network and what it was trained on; the files that ship say neither."""
    try:
        with safe_open(path, "pt") as file:
            about = file.metadata() or {}
        if "frame" not in about:
            return FRAME, SHIPPED
        frame = json.loads(about["frame"])
        height, width = (int(side) for side in frame["size"])
        if max(height, width) > LONGEST:
            raise ValueError(f"its frame is {height}x{width} pixels")
        a, b, c, d, e = ((float(x), float(y)) for x, y in frame["points"])
        return Framing(str(frame["name"]), (height, width), (a, b, c, d, e)), about.get("trained_on", "")
    except (SafetensorError, OSError):
        return FRAME, SHIPPED  # reading the tensors says what is wrong
    except (ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"its frame cannot be read ({error}).") from None
