"""The attributes "male" and "age" as FaceRes predicts them: for groups where nobody has labelled the photographs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from faceinv.contracts import Framing, Probe
from faceinv.errors import WeightsError
from faceinv.framing import warp_between
from faceinv_encoders.faceres import faceres
from faceinv_encoders.framings import FACERES
from faceinv_encoders.tfjs import read_tfjs

#: The age is the mean of this many most likely years, as in the authors' code.
_LIKELIEST = 2


class FaceResProbe(Probe):
    """A number that FaceRes predicts from an image.

    Args:
        manifest: ``faceres-deep.json``.
        content: ``faceres-deep.bin``.
        framing: Where the face is in the images.
        output: ``"male"``, 1 for a man and 0 for a woman, or ``"age"`` in years.

    Raises:
        WeightsError: if the files are not those of FaceRes.
    """

    shape = (1,)
    measured_by = "FaceRes, trained on VGGFace2 and then for age and sex (Savchenko 2019)"
    remarks = ("Sex and age are FaceRes's guesses from the picture, not what the person says.",)

    def __init__(self, manifest: Path, content: Path, *, framing: Framing, output: str) -> None:
        self._warp = warp_between(framing, FACERES)
        self._network = faceres(manifest, content)
        self._features = _dense(manifest, content, "feats")
        self._head = _dense(manifest, content, "gender_pred" if output == "male" else "age_pred")
        self._output = output

    @torch.no_grad()
    def label(self, images: Tensor) -> Tensor:
        """Return the prediction ``(B, 1)`` for ``images`` in the probe's framing."""
        raw: Tensor = self._head(F.relu(self._features(self._network(self._warp(images)))))
        if self._output == "male":
            return (raw > 0).to(images.dtype)
        likeliest = raw.softmax(1).topk(_LIKELIEST)
        years = likeliest.indices + 0.5
        found: Tensor = (likeliest.values * years).sum(1, keepdim=True) / likeliest.values.sum(1, keepdim=True)
        return found

    def error(self, predicted: Tensor, truth: Tensor) -> Tensor:
        """Return the absolute difference ``(B,)``."""
        distance: Tensor = (predicted - truth).abs().mean(1)
        return distance


def _dense(manifest: Path, content: Path, name: str) -> nn.Linear:
    """Return a fully connected layer of the file."""
    tensors = read_tfjs(manifest, content)
    try:
        kernel, bias = tensors[f"{name}/kernel"], tensors[f"{name}/bias"]
    except KeyError as error:
        raise WeightsError(f"{content} has no {error}; FaceRes predicts age and sex with it.") from None
    # Without memory of its own: initial weights would be drawn at random.
    with torch.device("meta"):
        layer = nn.Linear(*kernel.shape)
    layer.load_state_dict({"weight": kernel.T.contiguous(), "bias": bias}, assign=True)
    return layer.requires_grad_(False)
