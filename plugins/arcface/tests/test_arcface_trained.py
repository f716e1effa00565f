"""What ships of what the default attack learns fits the code, the networks and the defaults at hand."""

from __future__ import annotations

from pathlib import Path

import faceinv_arcface
import pytest

from faceinv.attack import preparation
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.resources import Resources
from faceinv.bench.runner import Runner
from faceinv.models import Loader
from faceinv.plugins import Host
from faceinv.storage.run_folder import RunFolder
from faceinv.weights import WeightStore

FOLDER = Path(faceinv_arcface.__file__).with_name("trained")


@pytest.mark.skipif(not list(FOLDER.glob("*.safetensors")), reason="nothing ships; 'make shipped' makes it")
def test_what_ships_is_what_the_default_bench_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        preparation, "sample_pairs", lambda *given: pytest.fail(f"{said[-1:]}: run 'make shipped' and commit {FOLDER}")
    )
    host, said = Host(), []
    config, source = load_config(None, {"losses": ["id", "id,lm", "id,hist", "id,lm,hist"]})
    resources = Resources(
        Loader(host, WeightStore(host)), RunFolder(tmp_path / "run"), cache=tmp_path / "trained",
        shipments=host.shipments(), say=said.append,
    )  # fmt: skip
    runner = Runner(resources)
    for cell in cells(config, host, source):
        runner.train(cell)
    origins = runner.preparation(cell).cache.origins
    assert set(origins.values()) == {"shipped"}
    assert said == []
    # Nothing of an earlier shipment is left there.
    assert sorted({path.name.rpartition("-")[0] for path in FOLDER.iterdir()}) == sorted(origins)
    assert len(list(FOLDER.iterdir())) == len(origins)
