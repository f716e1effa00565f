"""The pytest fixtures that come with faceinv."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import torch

from faceinv.testing import subjects_of, toy


def test_pytest_finds_them() -> None:
    found = {point.value for point in entry_points(group="pytest11") if point.name == "faceinv"}
    assert found == {"faceinv.testing.fixtures"}


def test_finding_them_imports_no_torch() -> None:
    code = "import faceinv.testing.fixtures, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_isolated_host_knows_the_toy_chain_alone(isolated_host) -> None:
    assert [spec.name for spec in isolated_host.specs("encoder")] == ["toy.attacked", "toy.critic"]
    assert {subject.kind for subject in subjects_of(toy, host=isolated_host)} >= {"plugin", "encoder", "loss"}


def test_faces_go_through_the_chain(toy_encoder, toy_generator, face_batch) -> None:
    assert face_batch.shape == (4, 3, 64, 64)
    small = torch.nn.functional.interpolate(face_batch, (16, 16))
    assert toy_encoder(small).shape == (4, 12)
    latents = toy_generator.sample(2, "z", torch.Generator().manual_seed(0))
    assert toy_generator(latents, "z").shape == (2, 3, 64, 64)
