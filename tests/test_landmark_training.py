"""Landmark networks of one's own: trained for a generator's frame, trusted, and named in the record."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from faceinv_landmarks import material
from torch import Tensor

from faceinv.storage.records import read_cell
from faceinv.weights import WeightStore

CHAIN = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets")


def dots(images: Tensor, landmarks: object) -> tuple[Tensor, Tensor]:
    """Stand in for dlib, which finds no face in toy images: it finds one in every second."""
    kept = torch.arange(0, len(images), 2)
    shape = 0.3 + torch.arange(136).view(68, 2) / 400
    return kept, shape + 0.1 * images[kept].mean((1, 2, 3))[:, None, None]


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    there = WeightStore.path
    monkeypatch.setattr(WeightStore, "path", lambda store, name: Path() if "dlib" in name else there(store, name))
    monkeypatch.setattr(material, "DlibLandmarks", lambda path: None)
    monkeypatch.setattr(material, "label_images", dots)


@pytest.mark.usefixtures("stand_in", "cache")
def test_a_network_for_a_generator_of_ones_own(
    run: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, same = tmp_path / "own.safetensors", tmp_path / "new folder" / "same.safetensors"
    train = ("train-landmarks", "measure", "--generator", "toy-faces", "--samples", 1000, "--epochs", 1, "--out")
    made = run(*train, own)
    assert made.code == 0, made.err
    with monkeypatch.context() as patch:
        patch.setattr(material, "label_images", None)  # nothing is labelled again
        again = run(*train, same)
    assert again.code == 0, again.err
    assert own.read_bytes() == same.read_bytes()
    assert again.err.replace(str(same), str(own)).splitlines()[-1] == made.err.splitlines()[-1]
    assert "on 50 held-out images" in made.err
    assert "trained on samples of toy-faces in the frame 'toy'" in made.err
    few = (*CHAIN, "--losses", "id,lm", "--limit", 2, "--steps", 2, "--pairs", 200, "--metric", "mse")
    shipped = run("bench", *few, "--out", tmp_path / "shipped")
    assert shipped.code == 0, shipped.err
    assert shipped.err.count("faceinv train-landmarks measure") == 1
    fitting = run("bench", *few, "--weights", f"landmarks={own}", "--out", tmp_path / "fitting")
    assert fitting.code == 0, fitting.err
    assert "train-landmarks" not in fitting.err
    for out, origin, caveats in (("shipped", "dcgan.digiface", 1), ("fitting", "toy-faces", 0)):
        (path,) = (tmp_path / out / "cells").glob("*.json")
        record = read_cell(path)
        assert record.probes["landmarks"].measured_by == f"the landmark network trained on samples of {origin}"
        assert len(record.probes["landmarks"].remarks) == caveats
        assert sum("train-landmarks" in text for text in record.warnings) == caveats
