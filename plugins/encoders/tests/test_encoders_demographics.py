"""Sex and age by FaceRes: what its two last layers say, in the probe's units, and files without them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_encoders.demographics import FaceResProbe
from faceinv_encoders.faceres import faceres
from faceinv_encoders.framings import FACERES
from faceinv_encoders.tfjs import read_tfjs

from faceinv.errors import WeightsError
from faceinv.testing import draw_faces


def test_labels_are_what_the_layers_say(faceres_files: list[Path]) -> None:
    files = faceres_files
    faces, tensors = draw_faces(3, FACERES), read_tfjs(*files)
    with torch.no_grad():
        features = (faceres(*files)(faces) @ tensors["feats/kernel"] + tensors["feats/bias"]).relu()
    probability = (features @ tensors["gender_pred/kernel"] + tensors["gender_pred/bias"]).sigmoid()
    years = (features @ tensors["age_pred/kernel"] + tensors["age_pred/bias"]).softmax(1)
    male, age = (FaceResProbe(*files, framing=FACERES, output=name).label(faces) for name in ("male", "age"))
    assert torch.equal(male, (probability > 0.5).float())
    for row in range(3):
        (p, q), (first, second) = years[row].topk(2)
        assert age[row, 0] == pytest.approx(float((p * (first + 0.5) + q * (second + 0.5)) / (p + q)), abs=1e-3)


def test_a_file_without_the_layers_is_refused(faceres_files: list[Path]) -> None:
    manifest, content = faceres_files
    manifest.write_text(manifest.read_text().replace("feats/", "other/"))
    with pytest.raises(WeightsError):
        FaceResProbe(manifest, content, framing=FACERES, output="male")
