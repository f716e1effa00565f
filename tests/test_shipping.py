"""What a plugin ships of what an attack learns: used when it fits exactly, and never otherwise."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from faceinv.attack import preparation
from faceinv.attack.preparation import Preparation
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.probes import Whitening
from faceinv.storage.shipments import Shipment
from faceinv.storage.tensors import TensorCache
from faceinv.weights import WeightStore

PARTS = {
    "whitening", "descriptor statistics", "latent regressor brightness", "conditional mean",
    "brightness probe", "brightness probe score", "brightness probe errors",
}  # fmt: skip
CHAIN = [
    "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--losses", "id,brightness", "--limit", "3", "--steps", "2", "--pairs", "200", "--metric", "psnr",
]  # fmt: skip
INVERT = [
    "--encoder", "toy", "--generator", "toy-faces", "--losses", "id,brightness", "--steps", "2", "--pairs", "200",
]  # fmt: skip
PLUGIN = """
from pathlib import Path
from faceinv import hookimpl
@hookimpl
def faceinv_trained():
    return [Path(__file__).with_name("trained")]
"""


def prepared(host: Host, cache: TensorCache, pairs: int = 200) -> Preparation:
    loader = Loader(host, WeightStore(host))
    return Preparation(loader, "toy", "toy-faces", "z", pairs=pairs, preset="tuned", cache=cache, probes=["brightness"])


def read(made: Preparation, descriptors: torch.Tensor) -> dict[str, torch.Tensor]:
    """Use every part, and return what it gives."""
    score = made.probe_score("brightness")
    return {
        "whitened": made.whitening(descriptors),
        "statistics": torch.tensor(list(asdict(made.descriptor_statistics).values()), dtype=torch.float64),
        "latents": made.regressor(["brightness"])(descriptors),
        "images": made.conditional_mean(descriptors),
        "read": made.read("brightness", descriptors),
        "score": torch.tensor([score.descriptor, score.baseline, score.n]),
        "covariance": made.error_covariance("brightness"),
    }


@pytest.fixture(scope="module")
def descriptors() -> torch.Tensor:
    return torch.rand(6, 12, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory, descriptors: torch.Tensor) -> tuple[Path, dict[str, Any]]:
    """A shipment, and what the parts gave before they were rounded for it."""
    from faceinv.testing import toy

    host, folder = Host(), tmp_path_factory.mktemp("shipment")
    host.register(toy, "toy", "toy 0")
    made = prepared(host, TensorCache(folder / "cache"))
    before = read(made, descriptors)
    assert set(made.cache.origins.items()) == {(what, "trained") for what in PARTS}
    sizes = made.cache.export(folder / "trained")
    assert sizes == {path.name: path.stat().st_size for path in (folder / "trained").glob("*.safetensors")}
    return folder / "trained", before


def with_shipment(folder: Path, shipment: Path) -> tuple[TensorCache, list[str]]:
    said: list[str] = []
    return TensorCache(folder, said.append, [Shipment(shipment, "maker 1")]), said


def test_what_ships_is_what_was_trained_within_half_precision(
    host: Host, tmp_path: Path, shipped: Any, descriptors: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "sample_pairs", lambda *given: pytest.fail("pairs were sampled"))
    cache, said = with_shipment(tmp_path / "empty", shipped[0])
    made = prepared(host, cache)
    after, before = read(made, descriptors), shipped[1]
    # What must not be rounded is not.
    for name in ("whitened", "statistics", "score", "covariance"):
        assert torch.equal(after[name], before[name]), name
    for name in ("latents", "images", "read"):
        assert after[name].dtype == before[name].dtype == torch.float32
        assert 0 < float((after[name] - before[name]).abs().max()) < 4e-3 * float(before[name].abs().max()), name
    assert set(cache.origins.items()) == {(what, "shipped") for what in PARTS}
    assert said == []
    assert not (tmp_path / "empty").exists()


def test_weights_ship_in_half_precision_and_all_else_as_it_is(shipped: Any) -> None:
    types: dict[str, set[torch.dtype]] = {}
    for path in shipped[0].glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        what = path.name.rpartition("-")[0]
        types[what] = {tensor.dtype for tensor in tensors.values() if tensor.ndim > 1}
    assert set(types) == PARTS
    halved = {what for what, found in types.items() if found == {torch.half}}
    assert halved == {"latent regressor brightness", "conditional mean", "brightness probe"}
    assert types["whitening"] == types["brightness probe errors"] == {torch.float64}


def test_what_was_trained_here_comes_first(host: Host, tmp_path: Path, shipped: Any, descriptors: torch.Tensor) -> None:
    cache, _ = with_shipment(shipped[0].parent / "cache", shipped[0])
    after = read(prepared(host, cache), descriptors)
    assert all(torch.equal(after[name], value) for name, value in shipped[1].items())
    assert set(cache.origins.values()) == {"trained"}


def test_a_shipment_for_others_is_not_used_and_one_line_says_why(
    host: Host, tmp_path: Path, shipped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "core_hash", lambda *, of: "edited")
    cache, said = with_shipment(tmp_path, shipped[0])
    made = prepared(host, cache, pairs=150)
    assert made.whitening.matrix.shape == (12, 12)
    assert made.descriptor_statistics.variance > 0
    assert set(cache.origins.values()) == {"trained"}
    assert said == [
        "Training here, because what maker 1 ships was made with another core, another number of pairs (200)."
    ]


def test_nothing_is_said_of_a_shipment_for_another_encoder(host: Host, tmp_path: Path, shipped: Any) -> None:
    cache, said = with_shipment(tmp_path, shipped[0])
    loader = Loader(host, WeightStore(host))
    made = Preparation(loader, "toy.critic", "toy-faces", "z", pairs=150, preset="tuned", cache=cache)
    assert made.whitening.matrix.ndim == 2
    assert said == []


@pytest.mark.parametrize("damage", ["flipped", "cut", "renamed"])
def test_a_damaged_file_is_not_used(host: Host, tmp_path: Path, shipped: Any, damage: str) -> None:
    folder = shutil.copytree(shipped[0], tmp_path / "shipment")
    (path,) = folder.glob("whitening-*")
    content = bytearray(path.read_bytes())
    content[-9] ^= 1
    path.write_bytes(content[:-5] if damage == "cut" else content)
    if damage == "renamed":
        shutil.copy(next(folder.glob("descriptor statistics-*")), path)
    cache, said = with_shipment(tmp_path / "cache", folder)
    made = prepared(host, cache)
    assert made.whitening.matrix.shape == (12, 12)
    assert made.descriptor_statistics.variance > 0
    assert cache.origins == {"whitening": "trained", "descriptor statistics": "shipped"}
    assert len(said) == 1
    assert said[0].startswith(f"{path}: ")
    assert said[0].endswith(", and not used; reinstall maker 1.")


def test_what_was_learned_behind_another_whitening_is_not_used(
    host: Host, tmp_path: Path, shipped: Any, descriptors: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a machine that points the principal axes the other way, where the shipped whitening is damaged."""
    own = preparation._whitening
    monkeypatch.setattr(preparation, "_whitening", lambda pairs: Whitening(own(pairs).mean, -own(pairs).matrix))
    folder = shutil.copytree(shipped[0], tmp_path / "shipment")
    (path,) = folder.glob("whitening-*")
    path.write_bytes(path.read_bytes()[:-5])
    cache, said = with_shipment(tmp_path / "cache", folder)
    after = read(prepared(host, cache), descriptors)
    torch.testing.assert_close(after["images"], shipped[1]["images"], atol=1e-4, rtol=1e-4)
    assert set(cache.origins.values()) == {"trained"}
    assert said[1:] == ["Training here, because what maker 1 ships was made with another whitening."]


def test_a_command_exports_and_a_plugin_ships(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plugin = tmp_path / "shipping.py"
    plugin.write_text(PLUGIN)
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "a"))
    made = run("--plugin", plugin, "train", *CHAIN, "--export", tmp_path / "trained")
    assert made.code == 0, made.err
    written = {path.name for path in (tmp_path / "trained").iterdir()}
    assert {name.rpartition("-")[0] for name in written} == PARTS
    assert all(name in made.err.replace("\n", "") for name in written)
    assert "7 files" in made.err
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "b"))
    benched = run("--plugin", plugin, "bench", *CHAIN, "--out", tmp_path / "run")
    assert benched.code == 0, benched.err
    assert not list((tmp_path / "b").rglob("pairs-*"))
    record = json.loads(next((tmp_path / "run").glob("cells/*.json")).read_text())
    assert record["learned"] == dict.fromkeys(PARTS, "shipped")
    assert len(record["learned_hash"]) == 16
    np.save(tmp_path / "leaked.npy", np.random.default_rng(0).random((1, 12), np.float32))
    inverted = run("--plugin", plugin, "invert", tmp_path / "leaked.npy", *INVERT, "--out", tmp_path / "faces")
    assert inverted.code == 0, inverted.err
    faces = json.loads(next((tmp_path / "faces").glob("cells/*.json")).read_text())
    assert (set(faces["learned"].values()), faces["learned_hash"]) == ({"shipped"}, record["learned_hash"])
    assert run("verify", tmp_path / "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert f"shipped {record['learned_hash']}" in page
    # Trained here on request, in place of what ships; later runs use it.
    assert run("--plugin", plugin, "train", *CHAIN, "--fresh").code == 0
    assert list((tmp_path / "b").rglob("pairs-*"))
    assert run("--plugin", plugin, "bench", *CHAIN, "--out", tmp_path / "other").code == 0
    record = json.loads(next((tmp_path / "other").glob("cells/*.json")).read_text())
    assert set(record["learned"].values()) == {"trained"}


def test_a_hook_that_fails_is_reported_and_the_others_ship(host: Host, tmp_path: Path) -> None:
    class Ships:
        @staticmethod
        def faceinv_trained() -> list[Path]:
            return [tmp_path]

    class Fails:
        @staticmethod
        def faceinv_trained() -> list[Path]:
            raise OSError("the disk is on fire")

    from faceinv import hookimpl

    for kind in (Ships, Fails):
        hookimpl(kind.faceinv_trained)
        host.register(kind(), kind.__name__.lower(), f"{kind.__name__.lower()} 1")
    assert Shipment(tmp_path, "ships 1") in host.shipments()
    assert [str(problem) for problem in host.problems] == [
        "plugin 'fails' (fails 1): faceinv_trained() failed: OSError: the disk is on fire"
    ]
