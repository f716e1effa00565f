"""Each tracker's own API reads back what a run told it: scores with intervals, losses, pictures, config, report."""

from __future__ import annotations

import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from faceinv_trackers import facts

import faceinv
from faceinv.contracts import RunReporter
from faceinv.errors import UsageError
from faceinv.plugins import Host
from faceinv.testing import toy

TOY = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets", "losses": "id",
    "limit": 5, "batch_size": 2, "steps": 3, "pairs": 200, "metrics": ["psnr", "id_sim_critic", "success"],
}  # fmt: skip


@pytest.fixture
def tracked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run the toy chain with a reporter, and return its record."""
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "cache"))
    host = Host()
    host.register(toy, "toy", "toy 0")

    def run(reporter: str) -> dict[str, Any]:
        (column,) = faceinv.run(TOY, host=host, out=tmp_path / "run", reporter=reporter).columns
        found: dict[str, Any] = column.record.as_json()
        return found

    return run


def _pixels(out: Path, row: int) -> np.ndarray[Any, Any]:
    """Return the target and the reconstruction of a row side by side."""
    from PIL import Image

    (cell,) = (path for path in (out / "cells").iterdir() if path.is_dir())
    return np.concatenate([np.asarray(Image.open(cell / f"{row:05d}{what}.png")) for what in ("-target", "")], 1)


@pytest.mark.filterwarnings("ignore")
def test_tensorboard_reads_the_run(tracked: Any, tmp_path: Path) -> None:
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator", reason="needs the extra 'tensorboard'"
    )
    record = tracked("tensorboard:pictures=2")
    folder = tmp_path / "run" / "tensorboard"
    (cell,) = folder.glob("1-*")
    found = events.EventAccumulator(str(cell), size_guidance={"images": 0, "tensors": 0})
    found.Reload()
    for name, summary in record["metrics"].items():
        for key in ("mean", "low", "high"):
            (point,) = found.Scalars(f"{name}/{key}")
            assert (point.step, point.value) == (3, pytest.approx(summary[key], rel=1e-6))
    assert [point.value for point in found.Scalars("loss/id")] == pytest.approx(record["trajectory"]["id"], rel=1e-6)
    assert [point.step for point in found.Scalars("batch/psnr")] == [2, 4, 5]
    tags = found.Tags()["images"]
    assert len(tags) == 2
    from io import BytesIO

    from PIL import Image

    shown = np.asarray(Image.open(BytesIO(found.Images(tags[0])[0].encoded_image_string)))
    assert (shown == _pixels(tmp_path / "run", 0)).all()
    whole = events.EventAccumulator(str(folder / "run"))
    whole.Reload()
    assert b'"limit": 5' in whole.Tensors("config/text_summary")[0].tensor_proto.string_val[0]
    assert (folder / "report.html").read_bytes() == (tmp_path / "run" / "report.html").read_bytes()


@pytest.mark.filterwarnings("ignore")
def test_mlflow_reads_the_run(tracked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="needs the extra 'mlflow'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    record = tracked("mlflow:pictures=2")
    client = mlflow.MlflowClient(tracking_uri=(tmp_path / "run" / "mlruns").as_uri())
    experiment = client.get_experiment_by_name("faceinv")
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    main = runs.pop("run")
    ((_, cell),) = runs.items()
    assert cell.data.tags["mlflow.parentRunId"] == main.info.run_id
    assert {main.info.status, cell.info.status} == {"FINISHED"}
    for name, summary in record["metrics"].items():
        for key in ("mean", "low", "high"):
            assert cell.data.metrics[f"{name}/{key}"] == pytest.approx(summary[key])
    history = client.get_metric_history(cell.info.run_id, "loss/id")
    assert [point.value for point in history] == pytest.approx(record["trajectory"]["id"])
    assert cell.data.params["encoder"] == "toy.attacked"
    assert [item.path for item in client.list_artifacts(cell.info.run_id, "pictures")] == [
        "pictures/00000.png", "pictures/00001.png",
    ]  # fmt: skip
    assert "report.html" in [item.path for item in client.list_artifacts(main.info.run_id)]


def _wandb_records(path: Path) -> Iterator[Any]:
    """Yield the messages of a ``.wandb`` file: a log in blocks of 32 KiB, as LevelDB writes them."""
    from wandb.proto import wandb_internal_pb2

    content = path.read_bytes()
    assert content[:4] in (b":W&B", b"")
    place, whole = 7, b""
    while place < len(content):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(whole)
            whole = b""


def _wandb_runs(folder: Path) -> list[list[Any]]:
    """Return the messages of the cell's run and of the report's; W&B's own process may still be writing them."""
    until = time.monotonic() + 30
    while True:
        found = [[*_wandb_records(path)] for path in folder.glob("offline-*/*.wandb")]
        found.sort(key=lambda messages: any(message.artifact.name == "report" for message in messages))
        ended = [any(message.HasField("exit") for message in messages) for messages in found]
        if ended == [True, True] or time.monotonic() > until:
            return found
        time.sleep(0.1)


@pytest.mark.filterwarnings("ignore")
def test_wandb_reads_the_run(tracked: Any, tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="needs the extra 'wandb'")
    record = tracked("wandb:pictures=2")
    cell, report = _wandb_runs(tmp_path / "run" / "wandb")
    summary = {
        item.key: json.loads(item.value_json)
        for message in cell
        if message.HasField("summary")
        for item in message.summary.update
    }
    for name, expected in record["metrics"].items():
        for key in ("mean", "low", "high"):
            assert summary[f"{name}/{key}"] == pytest.approx(expected[key])
    history = [
        {
            "/".join([item.key, *item.nested_key]).strip("/"): json.loads(item.value_json)
            for item in message.history.item
        }
        for message in cell
        if message.HasField("history")
    ]
    losses = [step["loss/id"] for step in history if "loss/id" in step]
    assert losses == pytest.approx(record["trajectory"]["id"])
    (start,) = (message.run for message in cell if message.HasField("run"))
    config = {item.key: json.loads(item.value_json) for item in start.config.update}
    assert config["encoder"] == "toy.attacked"
    files = [item.path for message in cell if message.HasField("files") for item in message.files.files]
    assert len([path for path in files if path.endswith(".png")]) == 2
    (kept,) = (message.artifact for message in cell if message.HasField("artifact"))
    assert [item.path for item in kept.manifest.contents] == ["record.json"]
    (artifact,) = (message.artifact for message in report if message.HasField("artifact"))
    assert [item.path for item in artifact.manifest.contents] == ["report.html"]


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_package_is_named_with_what_installs_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(module: str) -> None:
        raise ModuleNotFoundError(f"No module named '{module}'")

    monkeypatch.setattr(facts, "importlib", SimpleNamespace(import_module=refuse))
    host = Host()
    with pytest.raises(UsageError, match=rf"pip install 'faceinv-plugins\[{name}\]'"):
        host.build(host.spec("reporter", name))


def test_names_that_trackers_refuse_are_replaced() -> None:
    assert facts.plain("success_type1@0.001:critic") == "success_type1 at 0.001/critic"
    assert facts.plain("Ärger|a\n") == "_rger_a_"
    assert isinstance(Host().build(Host().spec("reporter", "tensorboard")), RunReporter)
