"""The frame that attributes are measured in, and the part of it without borders."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from faceinv.contracts.data import Dataset
from faceinv.contracts.specs import Framing
from faceinv.errors import InputError
from faceinv.framing import apply_similarity, framing_similarity, pixel_points

#: Frame of faces from a data set that declares none. It holds the crops that encoders are trained on: its five points
#: are the mean face in FaceNet's crop, at three quarters of the size.
PORTRAIT = Framing(
    name="portrait-224",
    size=(224, 224),
    points=((0.370, 0.420), (0.630, 0.420), (0.500, 0.543), (0.385, 0.653), (0.615, 0.653)),
)


@dataclass(frozen=True)
class Part:
    """A part of a frame, in whole pixels.

    Args:
        rows: From the top.
        columns: From the left.
        framing: Framing of what is cut out.
    """

    rows: slice
    columns: slice
    framing: Framing

    def cut(self, images: Tensor) -> Tensor:
        """Return this part of images ``(B, 3, H, W)``."""
        return images[:, :, self.rows, self.columns]


def whole_part(frame: Framing) -> Part:
    """Return the whole of ``frame``."""
    height, width = frame.size
    return Part(slice(0, height), slice(0, width), frame)


def clean_part(dataset: Dataset, frame: Framing) -> Part:
    """Return the part of ``frame`` that shows the photograph in every image of the data set.

    Raises:
        InputError: if no pixel of the frame does.
    """
    height, width = frame.size
    if dataset.clean_box is None or dataset.framing is None:
        return whole_part(frame)
    left, top, right, bottom = dataset.clean_box
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)]) * dataset.framing.size[::-1]
    x, y = apply_similarity(framing_similarity(dataset.framing, frame), corners).T
    # The upright box inside, in whole pixels: a similarity between framings may rotate it slightly.
    first = [max(0, math.ceil(max(x[0], x[2]) - 1e-6)), max(0, math.ceil(max(y[0], y[1]) - 1e-6))]
    last = [min(width, math.floor(min(x[1], x[3]) + 1e-6)), min(height, math.floor(min(y[2], y[3]) + 1e-6))]
    size = (last[1] - first[1], last[0] - first[0])
    if min(size) < 1:
        raise InputError(f"The part of the images without borders lies outside the frame '{frame.name}'.")
    points = (pixel_points(frame) - first) / size[::-1]
    a, b, c, d, e = ((float(px), float(py)) for px, py in points)
    return Part(
        slice(first[1], last[1]), slice(first[0], last[0]), Framing(f"{frame.name}-clean", size, (a, b, c, d, e))
    )
