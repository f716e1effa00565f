"""The paper's landmark labels: dlib's face detector and 68-point predictor (Kazemi & Sullivan 2014)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from faceinv.data import to_bytes
from faceinv.errors import PluginError

#: dlib's detector finds no faces below 80 pixels, so small images are enlarged to this side.
SIDE = 256


class DlibLandmarks:
    """dlib's frontal face detector and 68-point predictor.

    Args:
        predictor: The file ``shape_predictor_68_face_landmarks.dat``.

    Raises:
        PluginError: dlib is not installed.
    """

    def __init__(self, predictor: Path) -> None:
        try:
            import dlib
        except ImportError:
            raise PluginError("dlib is not installed: pip install 'faceinv-plugins[dlib]'") from None
        self._detect: Any = dlib.get_frontal_face_detector()
        self._predict: Any = dlib.shape_predictor(str(predictor))

    def __call__(self, image: Tensor) -> Tensor | None:
        """Return the landmarks ``(68, 2)`` of the face in ``image`` ``(3, H, W)``, in frame coordinates.

        Returns ``None`` if dlib finds no face, or more than one.
        """
        height, width = image.shape[1:]
        enlarge = max(1.0, SIDE / min(height, width))
        if enlarge > 1:
            size = (round(height * enlarge), round(width * enlarge))
            image = nn.functional.interpolate(image[None], size=size, mode="bilinear", align_corners=False)[0]
        pixels = to_bytes(image)
        boxes = self._detect(pixels)
        if len(boxes) != 1:
            return None
        # dlib's integer coordinates are pixel centres.
        points = np.array([(p.x + 0.5, p.y + 0.5) for p in self._predict(pixels, boxes[0]).parts()])
        return torch.from_numpy(points / (pixels.shape[1], pixels.shape[0])).float()


def label_images(
    images: Tensor, landmarks: DlibLandmarks, progress: Callable[[int], None] | None = None
) -> tuple[Tensor, Tensor]:
    """Return the indices ``(n,)`` of images in which dlib finds exactly one face, and its landmarks ``(n, 68, 2)``."""
    kept, points = [], []
    for index, image in enumerate(images):
        found = landmarks(image)
        if found is not None:
            kept.append(index)
            points.append(found)
        if progress:
            progress(index + 1)
    return torch.tensor(kept, dtype=torch.long), torch.stack(points) if points else torch.empty(0, 68, 2)
