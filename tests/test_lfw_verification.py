"""The pipeline of detection, alignment and embedding reaches the networks' verification accuracy."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from faceinv.contracts import Faces, Framing
from faceinv.data import write_image
from faceinv.framing import pixel_points
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.weights import WeightStore

ROOT = Path(__file__).resolve().parents[1]
LFW = ROOT.parent / "shared" / "data" / "lfw"


@pytest.fixture(scope="module")
def verification() -> ModuleType:
    """Import the benchmark, so that the test covers the figure that it prints."""
    spec = importlib.util.spec_from_file_location("verification", ROOT / "benchmarks" / "verification.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["verification"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Use one thread: detection is many small steps, which are much slower with several threads on busy cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.weights
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("one_thread")
@pytest.mark.skipif(not LFW.is_dir(), reason="LFW (../shared/data/lfw) is not on this machine")
def test_the_default_encoders_verify_faces_in_photographs(verification: ModuleType) -> None:
    """The first 200 matched and 200 mismatched pairs of LFW's View 1, at the best threshold on them."""
    host = Host()
    loader = Loader(host, WeightStore(host))
    pairs = verification.read_pairs(LFW, 200)
    results = verification.verify(loader, pairs, ["facenet.msceleb", "arcface.mobilefacenet"])
    accuracy = {}
    for name, (cosine, same, missing) in results.items():
        assert missing == 0
        assert (int(same.sum()), int((~same).sum())) == (200, 200)
        accuracy[name] = verification.best_threshold(cosine.numpy(), same.numpy())[1]
    assert accuracy["facenet.msceleb"] >= 0.98
    assert accuracy["arcface.mobilefacenet"] >= 0.97


def test_pairs_are_read_as_lfw_lists_them(verification: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "pairsDevTrain.txt").write_text("2\nAda\t1\t3\nBo\t2\t4\nAda\t1\tBo\t12\nBo\t1\tCy_D\t2\n")
    named = [
        (pair.first.name, pair.second.name, pair.same) for pair in verification.read_pairs(tmp_path, count=1, start=1)
    ]
    assert named == [("Bo_0002.jpg", "Bo_0004.jpg", True), ("Bo_0001.jpg", "Cy_D_0002.jpg", False)]


def test_a_cross_validated_threshold_does_not_see_its_own_fold(verification: ModuleType) -> None:
    rng = torch.Generator().manual_seed(0)
    cosine, same = torch.rand(200, generator=rng), torch.rand(200, generator=rng) > 0.5
    # Noise tells nothing, but a threshold chosen on the same pairs still gets a little above chance.
    assert verification.best_threshold(cosine.numpy(), same.numpy())[1] > 0.52
    assert verification.cross_validated(cosine, same) < verification.best_threshold(cosine.numpy(), same.numpy())[1]
    clear = same.float() + 0.1 * cosine
    assert verification.cross_validated(clear, same) == 1


def test_a_photograph_without_a_face_is_left_out(verification: ModuleType, tmp_path: Path) -> None:
    framing = Framing("frame", (16, 16), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)))

    def detector(image: Tensor) -> Faces:
        n = int(image.mean() > 0.5)
        points = torch.from_numpy(pixel_points(framing)).float().expand(n, 5, 2)
        return Faces(torch.zeros(n, 4), points, torch.ones(n))

    bright, dark = tmp_path / "bright.png", tmp_path / "dark.png"
    write_image(torch.ones(3, 20, 20), bright)
    write_image(torch.zeros(3, 20, 20), dark)
    found = verification.aligned([bright, dark], detector, [framing])
    assert list(found) == [bright]
    pairs = [verification.Pair(bright, bright, True), verification.Pair(bright, dark, False)]
    cosine, same, missing = verification.cosines(pairs, {bright: torch.tensor([0.6, 0.8])})
    assert (cosine.tolist(), same.tolist(), missing) == ([pytest.approx(1)], [True], 1)
