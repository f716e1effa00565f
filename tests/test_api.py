"""The Python API gives the same results as the command line, and importing the package imports no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import faceinv
from faceinv.contracts import Framing
from faceinv.data import read_image, write_image
from faceinv.errors import ShapeError, UnknownNameError, UsageError
from faceinv.testing import draw_faces, toy
from faceinv.testing.faces import FRAME

CHEAP = {"generator": "toy-faces", "pairs": 200, "plugins": [toy.__file__]}


def descriptors(n: int = 2) -> torch.Tensor:
    encoder = faceinv.load_encoder("toy", plugins=[toy.__file__])
    return encoder(draw_faces(n, encoder.spec.framing))


def test_importing_the_package_imports_no_torch() -> None:
    code = "import faceinv, sys; assert 'torch' not in sys.modules; assert {'invert', 'probe'} <= set(dir(faceinv))"
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'inverse'"):
        faceinv.inverse  # noqa: B018


def test_an_encoder_is_loaded_frozen() -> None:
    given = descriptors(3)
    assert given.shape == (3, 12)
    assert not given.requires_grad
    with pytest.raises(UnknownNameError, match="Did you mean 'arcface"):
        faceinv.load_encoder("arcfase")


def test_inversion_equals_that_of_the_command_line(run, cache: Path, tmp_path: Path) -> None:
    given = descriptors(1)
    np.save(tmp_path / "leaked.npy", given.numpy())
    done = run(
        "invert", tmp_path / "leaked.npy", "--encoder", "toy", "--generator", "toy-faces", "--pairs", "200",
        "--losses", "id,brightness", "--steps", "5", "--critic", "toy.critic", "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.code == 0, done.err
    result = faceinv.invert(given, encoder="toy", losses=["id", "brightness"], steps=5, names=["leaked"], **CHEAP)
    written = tmp_path / "out" / "leaked.png"
    assert (read_image(written) - result.images[0]).abs().max() <= 0.5 / 255 + 1e-6
    assert result.images.shape == (1, 3, 16, 16)
    assert result.queries == 5
    assert result.trajectory["total"].shape == (5, 1)


def test_one_descriptor_is_a_batch_of_one(cache: Path) -> None:
    given = descriptors(2)
    both = faceinv.invert(given, encoder="toy", losses=["id"], steps=2, **CHEAP)
    alone = faceinv.invert(given[0], encoder="toy", losses=["id"], steps=2, **CHEAP)
    torch.testing.assert_close(alone.images[0], both.images[0], atol=1e-4, rtol=0)


@pytest.mark.parametrize("factor", [None, 1e30])
def test_descriptors_of_another_scale_are_inverted_like_the_encoders_own(cache: Path, factor: float | None) -> None:
    options = {"encoder": "toy", "losses": ["id", "brightness"], "steps": 2, **CHEAP}
    given = descriptors(2).detach()
    expected = faceinv.invert(given, **options)
    other = torch.nn.functional.normalize(given) if factor is None else given * factor
    with pytest.warns(
        UserWarning, match=r"2 of 2 descriptors \(0, 1\) have lengths of .* unlike those of 'toy.attacked'"
    ):
        scaled = faceinv.invert(other, **options)
    assert (scaled.start - expected.start).abs().mean() < 0.03
    assert (scaled.images - expected.images).abs().mean() < 0.03


def test_probes_beat_a_guess(cache: Path) -> None:
    heard = []
    score = faceinv.probe(
        ["brightness"], encoder="toy", progress=lambda what, done, of: heard.append(what), **CHEAP | {"pairs": 1000}
    )["brightness"]
    assert score.descriptor < 0.7 * score.baseline
    assert (score.unit, score.n) == ("grey levels", 100)
    assert "embedding samples" in heard


def test_probing_a_data_set_equals_the_command_line(run, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "faces").mkdir()
    for index, face in enumerate(draw_faces(60, Framing("large", (96, 96), FRAME.points))):
        write_image(face, tmp_path / "faces" / f"{index:02d}.png")
    where = f"folder:{tmp_path / 'faces'}"
    rows = faceinv.probe(["brightness"], dataset=where, encoder="toy", out=tmp_path / "python", plugins=[toy.__file__])
    done = run(
        "probe", "--encoder", "toy", "--dataset", where, "--attributes", "brightness", "--no-image",
        "--out", tmp_path / "shell", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert rows
    assert [row["attribute"] for row in rows] == [row["attribute"] for row in done.json]
    assert json.loads(json.dumps(rows)) == done.json


def test_mistakes_raise_clear_errors(cache: Path) -> None:
    with pytest.raises(ShapeError, match=r"are \(B, 12\), got \(2, 7\)"):
        faceinv.invert(torch.rand(2, 7), encoder="toy", losses=["id"], **CHEAP)
    with pytest.raises(UsageError, match="losses"):
        faceinv.invert(descriptors(), encoder="toy", losses=["idd"], **CHEAP)
    with pytest.raises(UsageError, match="Got 3 names for 2 descriptors"):
        faceinv.invert(descriptors(), encoder="toy", losses=["id"], names=list("abc"), **CHEAP)
    with pytest.raises(UnknownNameError, match="brightness"):
        faceinv.probe(["brightnes"], encoder="toy", **CHEAP)


def test_the_device_is_checked_and_options_reach_the_generator(cache: Path) -> None:
    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        faceinv.load_encoder("toy", device="gpu", plugins=[toy.__file__])
    with pytest.raises(UsageError, match="Unknown device 'gpu'"):
        faceinv.invert(descriptors(), encoder="toy", losses=["id"], device="gpu", **CHEAP)
    with pytest.raises(UsageError, match="'toy-faces' takes no option 'checkpoint_activations'"):
        faceinv.invert(descriptors(), encoder="toy", losses=["id"], checkpoint_activations=True, **CHEAP)
