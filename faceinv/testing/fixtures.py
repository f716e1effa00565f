"""Fixtures for plugin authors' tests, available to pytest wherever faceinv is installed.

Nothing heavy is imported before a test requests a fixture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from torch import Tensor

    from faceinv.plugins.host import Host
    from faceinv.testing.faces import DrawnFaces
    from faceinv.testing.toy_networks import ToyEncoder


@pytest.fixture
def isolated_host() -> Host:
    """Return a host with the toy chain and without installed plugins, to register yours with."""
    from faceinv.plugins.host import Host
    from faceinv.testing import toy

    host = Host(entry_points=False)
    host.register(toy, "toy", "toy 0")
    return host


@pytest.fixture
def toy_encoder() -> ToyEncoder:
    """Return a frozen encoder from 16×16 images to 12 numbers."""
    from faceinv.testing.toy_networks import ToyEncoder

    encoder: ToyEncoder = ToyEncoder().eval().requires_grad_(False)
    return encoder


@pytest.fixture
def toy_generator() -> DrawnFaces:
    """Return a frozen generator of 64×64 drawn faces from eight factors."""
    from faceinv.testing.faces import DrawnFaces

    generator: DrawnFaces = DrawnFaces().eval().requires_grad_(False)
    return generator


@pytest.fixture
def face_batch() -> Tensor:
    """Return four different drawn faces ``(4, 3, 64, 64)`` in ``[0, 1]``."""
    from faceinv.testing.faces import draw_faces

    return draw_faces(4)
