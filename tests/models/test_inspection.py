"""``faceinv encoder inspect``: the way in which a network was trained is found, or said not to be found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor

from faceinv.audit.inspection import FEWEST, choose_pairs, inspect
from faceinv.contracts import Dataset, Framing
from faceinv.errors import InputError
from faceinv.models.external.facts import FRAMINGS, Facts
from faceinv.models.external.prepared import Prepared

sys.path.insert(0, str(Path(__file__).parent))
from onnx_files import arrays, model, write

SIZE = 16


class People(Dataset):
    """People who differ in the colours of the four sides of the ArcFace crop; the rest of a photograph is noise."""

    def __init__(self, count: int = 30) -> None:
        points = [(0.5 * x + 0.25, 0.5 * y + 0.25) for x, y in FRAMINGS["arcface-112"]]
        self.framing = Framing("frame", (96, 96), tuple(points))  # type: ignore[arg-type]
        self.identities = [f"person {number}" for number in range(count) for _ in range(2)]
        self.ids = [str(number) for number in range(2 * count)]
        rng = torch.Generator().manual_seed(3)
        self._images = torch.rand(2 * count, 3, 96, 96, generator=rng).round()
        sides = torch.rand(4, count, 3, 1, 1, generator=rng).repeat_interleave(2, 1)
        parts = ((slice(24, 72), slice(24, 30)), (slice(24, 72), slice(66, 72)), (slice(24, 30), slice(30, 66)))
        for side, (rows, columns) in zip(sides, (*parts, (slice(66, 72), slice(30, 66))), strict=False):
            self._images[:, :, rows, columns] = side

    def load(self, index: int) -> Tensor:
        return self._images[index]


class Reader(torch.nn.Module):
    """Reads the sides of its images, red most of all; large values saturate."""

    def forward(self, images: Tensor) -> Tensor:
        sides = (images[..., :1], images[..., -1:], images[:, :, :1, 2:-2], images[:, :, -1:, 2:-2])
        read = torch.stack([side.mean((2, 3)) for side in sides], 1) * torch.tensor([1.0, 0.3, 0.1])
        return torch.tanh(2 * read.clamp(min=0) - 0.5 * torch.tensor([1.0, 0.3, 0.1])).flatten(1)


def test_pairs_are_of_one_person_and_of_two_in_turn_and_the_first_stay() -> None:
    people = People().identities
    assert people is not None
    pairs = choose_pairs(people, 40)
    assert [pair.same for pair in pairs] == [True, False] * 20
    assert all((people[pair.first] == people[pair.second]) == pair.same for pair in pairs)
    assert choose_pairs(people, 24) == pairs[:24]
    assert len({pair.first for pair in pairs if pair.same}) == 20
    with pytest.raises(InputError, match=f"At least {FEWEST} pairs"):
        choose_pairs(people[:10], 40)


def test_the_crop_and_the_colours_that_a_network_was_trained_on_are_found() -> None:
    found = inspect(Reader(), (SIZE, SIZE), People(80), None, count=160)
    assert len(found.trials) == 50
    assert sorted({trial.pairs for trial in found.trials}) == [24, 96, 160]
    assert (found.best.facts.framing, found.best.facts.colour) == ("arcface-112", "rgb")
    assert not found.undecided("framing")
    assert found.best.accuracy.low > 0.9
    assert found.best.separation > 2 * found.trials[-1].separation
    assert (found.dim, found.unit_length, found.operations) == (12, False, None)
    assert found.batch_difference < 1e-6


def test_what_cannot_be_told_apart_is_said() -> None:
    class Grey(Reader):
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images.mean(1, keepdim=True).expand(-1, 3, -1, -1))

    found = inspect(Grey(), (SIZE, SIZE), People(), None, count=60)
    assert found.undecided("colour") == [{"rgb": "bgr", "bgr": "rgb"}[found.best.facts.colour]]


def test_the_command_writes_an_encoder(
    run: Callable[..., Any], tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEINV_OFFLINE", "1")
    people = Path(__file__).parents[1] / "toy_people.py"
    body = "c = Conv<strides = [4, 4]>(x, w) f = Flatten(c) y = LpNormalization(f)"
    path = write(tmp_path / "small.onnx", model(body, "float[N,3,16,16] x"), arrays(w=(4, 3, 4, 4)))
    (tmp_path / "yaml").mkdir()
    out = tmp_path / "yaml" / "encoder.yaml"
    folder = tmp_path / "people"
    write_people(folder)
    args = ("encoder", "inspect", path, "--dataset", f"folder:{folder}", "--detector", "first", "--pairs", "20")
    result = run("--plugin", people, "--plugin", detector(tmp_path), *args, "--out", out, "--all")
    assert result.code == 0, result.err
    assert result.out.count("arcface-112") == 10
    assert "assumed" not in result.err
    assert "64-d descriptors, of length 1; the batch does not matter" in result.err
    described = yaml.safe_load(out.read_text())
    assert described["file"] == "../small.onnx"
    assert described["unit_length"] is True
    facts = {key: described[key] for key in ("framing", "colour", "scaling", "unit_length")}
    image = np.zeros((16, 16, 3), "u1")
    from PIL import Image

    Image.fromarray(image).save(tmp_path / "black.png")
    vector = tmp_path / "vector.npy"
    assert run("embed", tmp_path / "black.png", "--aligned", "--encoder", out, "--out", vector).code == 0
    from faceinv.models import onnx_network

    expected = Prepared(onnx_network(path), Facts(**facts))(torch.zeros(1, 3, 16, 16))
    np.testing.assert_allclose(np.load(vector), expected.numpy(), atol=1e-6)
    assert run("encoder", "inspect", "arcface", "--dataset", f"folder:{folder}").code == 2
    assert run("encoder", "inspect", path, "--dataset", f"folder:{tmp_path / 'yaml'}").code == 3


def write_people(folder: Path) -> None:
    from PIL import Image

    rng = np.random.default_rng(0)
    for person in range(12):
        (folder / f"person-{person:02d}").mkdir(parents=True)
        face = rng.integers(0, 200, (40, 40, 3))
        for number in range(2):
            pixels = (face + rng.integers(0, 50, (40, 40, 3))).astype("u1")
            Image.fromarray(pixels).save(folder / f"person-{person:02d}" / f"{number}.png")


def detector(folder: Path) -> Path:
    """A plugin whose detector finds a face in the middle of every photograph."""
    path = folder / "first_detector.py"
    path.write_text(
        "import torch\n"
        "from faceinv import hookimpl\n"
        "from faceinv.contracts import DetectorSpec, Faces\n"
        "@hookimpl\n"
        "def faceinv_detectors():\n"
        "    return [DetectorSpec(name='first', summary='x', target='first_detector:make', licence='MIT')]\n"
        "def make():\n"
        "    points = torch.tensor([[[14., 16.], [26., 16.], [20., 22.], [15., 29.], [25., 29.]]])\n"
        "    return lambda image: Faces(torch.tensor([[8., 8., 32., 32.]]), points, torch.ones(1))\n"
    )
    return path
