"""Probes that learn from photographs: never from a target's person, each photograph embedded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from faceinv.attack.photographs import Photographs
from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.bench.naming import cell_id
from faceinv.bench.setup import make_runner
from faceinv.contracts.data import pixel_hash
from faceinv.data.opening import open_dataset
from faceinv.errors import InputError, UsageError
from faceinv.plugins import Host
from faceinv.storage.records import FinishedCell, read_cell
from faceinv.testing import toy
from faceinv.testing.toy_networks import ToyEncoder
from faceinv.weights import WeightStore

TOY = {
    "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "losses": "id,brightness", "limit": 4,
    "steps": 3, "pairs": 200, "metrics": ["mse"], "dataset": "toy-crowd", "probe_data": "toy-crowd",
}  # fmt: skip
CROWD = Path(__file__).with_name("toy_crowd.py")
PLUGIN = ("--plugin", CROWD)


@pytest.fixture
def crowded(cache: Path) -> Host:
    return Host(paths=[toy.__file__, CROWD])


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Batch sizes of every pass through the attacked encoder."""
    passes: list[int] = []
    forward = ToyEncoder.forward

    def counted(self: ToyEncoder, images: Tensor) -> Tensor:
        passes.append(len(images))
        return forward(self, images)

    monkeypatch.setattr(ToyEncoder, "forward", counted)
    return passes


def photographs(host: Host, out: Path, leaked: Sequence[int] = (), **changes: object) -> tuple[Photographs, Any]:
    """Return what the readers of a cell learn from, and its targets."""
    config, source = load_config(None, {**TOY, "out": out, **changes})
    (cell,) = cells(config, host, source)
    dataset, _ = open_dataset(host, "toy-crowd")
    hashes = [pixel_hash(dataset.load(row)) for row in leaked]
    resources = make_runner(host, WeightStore(host), config, [cell], leaked=hashes).resources
    resources.name(cell)
    found = resources.preparation(cell).photographs
    assert found is not None
    return found, resources.targets(cell)


def records(out: Path) -> list[FinishedCell]:
    found = [read_cell(path) for path in sorted((out / "cells").glob("*.json"))]
    assert all(isinstance(record, FinishedCell) for record in found), found
    return found  # type: ignore[return-value]


def test_a_targets_person_is_never_learnt_from(crowded: Host, tmp_path: Path) -> None:
    found, targets = photographs(crowded, tmp_path, limit=7)
    people = [name[:3] for name in found.ids]
    parts = {part: {people[row] for row in rows.tolist()} for part, rows in found.rows.items()}
    assert {name[:3] for name in targets.ids} == {"000", "001", "002"}
    assert not set.union(*parts.values()) & {name[:3] for name in targets.ids}
    assert len(set.union(*parts.values())) == 77
    assert sum(map(len, parts.values())) == 77, "the parts share a person"


def test_a_targets_image_in_another_data_set_is_never_learnt_from(crowded: Host, tmp_path: Path) -> None:
    """Nobody is named in the photographs: those that are targets are told by their pixels."""
    found, targets = photographs(crowded, tmp_path, probe_data="toy-strangers", skip=30, limit=7)
    learnt = {found.ids[row] for rows in found.rows.values() for row in rows.tolist()}
    assert set(targets.ids) < set(found.ids)
    assert learnt == set(found.ids) - set(targets.ids)


def test_samples_as_targets_leave_nobody_out(crowded: Host, tmp_path: Path) -> None:
    found, _ = photographs(crowded, tmp_path, dataset="toy-targets")
    assert sum(map(len, found.rows.values())) == len(found.ids) == 240


@pytest.mark.usefixtures("cache")
def test_each_photograph_is_embedded_once(run: Callable[..., Any], tmp_path: Path, embedded: list[int]) -> None:
    """By ``faceinv probe`` already, where the data set has the generator's framing."""
    chosen = (
        "--encoder",
        "toy",
        "--dataset",
        "toy-crowd",
        "--attributes",
        "brightness",
        "--no-image",
        "--out",
        tmp_path / "probe",
    )
    audit = run(*PLUGIN, "probe", *chosen)
    assert audit.code == 0, audit.err
    config = ("--encoder", "toy", "--generator", "toy-faces", "--losses", "id,brightness", "--pairs", 200)
    plain = run("train", *config)
    assert plain.code == 0, plain.err
    embedded.clear()
    learnt = run(*PLUGIN, "train", *config, "--probe-data", "toy-crowd", "--json")
    assert learnt.code == 0, learnt.err
    assert sum(embedded) == 0
    (score,) = learnt.json
    assert score["learnt_from"] == "177 photographs of 59 people from toy-crowd, labelled by 'brightness'"
    assert score["descriptor"] < 0.8 * score["baseline"]


def test_the_record_says_what_was_learnt_from(run: Callable[..., Any], cache: Path, tmp_path: Path) -> None:
    chain = ("--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id,brightness")
    small = ("--dataset", "toy-crowd", "--limit", 4, "--steps", 3, "--pairs", 200, "--metric", "mse", "--batch-size", 2)
    done = {}
    for name, more in (("samples", ()), ("photographs", ("--probe-data", "toy-crowd"))):
        made = run(*PLUGIN, "bench", *chain, *small, *more, "--out", tmp_path / name)
        assert made.code == 0, made.err
        (done[name],) = records(tmp_path / name)
    assert done["samples"].probes["brightness"].learnt_from == "180 samples of toy-faces"
    assert "photographs of" in done["photographs"].probes["brightness"].learnt_from
    assert "toy-crowd" in done["photographs"].probes["brightness"].learnt_from
    assert (done["samples"].config.probe_data, done["photographs"].config.probe_data) == ("", "toy-crowd")
    assert done["photographs"].weights["probe data"] == done["photographs"].weights["data set"]
    assert "probe data" not in done["samples"].weights
    read = [np.load(tmp_path / name / "cells" / done[name].id / "read.npz")["read:brightness"] for name in done]
    assert not np.allclose(*read)
    # Shards that share no folder, joined, are the same run.
    learning = (*PLUGIN, "bench", *chain, *small, "--probe-data", "toy-crowd")
    for shard in ("1/2", "2/2"):
        part = run(*learning, "--shard", shard, "--out", tmp_path / "shards")
        assert part.code == 0, part.err
    (joined,) = records(tmp_path / "shards")
    assert (joined.id, joined.metrics) == (done["photographs"].id, done["photographs"].metrics)
    assert run(*learning, "--out", tmp_path / "photographs").code == 0
    assert records(tmp_path / "photographs") == [done["photographs"]]


def test_what_the_data_set_annotates_is_not_measured(crowded: Host, tmp_path: Path) -> None:
    found, _ = photographs(crowded, tmp_path, dataset="toy-targets")
    dataset, _ = open_dataset(crowded, "toy-crowd")
    given, rows = found.examples("glow"), found.known("glow")
    chosen = torch.cat([rows[part] for part in ("train", "val", "test")])
    assert torch.equal(given.targets[:, 0], dataset.annotations["Glow"][chosen])
    assert not (chosen % 10 == 0).any()
    assert given.split.train.stop == len(rows["train"])
    assert given.split.test.start == len(rows["train"]) + len(rows["val"])
    assert "annotated there" in found.described("glow", 100)
    assert "labelled by 'brightness'" in found.described("brightness", 100)


def test_an_inverted_photograph_is_never_learnt_from(crowded: Host, tmp_path: Path) -> None:
    """``faceinv invert`` passes the pixel hashes of its photographs on; nobody knows who is in them."""
    found, _ = photographs(crowded, tmp_path, leaked=[4, 50], dataset="toy-targets")
    learnt = {row for rows in found.rows.values() for row in rows.tolist()}
    assert learnt == set(range(240)) - {4, 50}


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"probe_data": "toy-few"}, InputError, r"'toy-few' has \d+ photographs in the part 'train' without the"),
        ({"dataset": "toy-nameless", "probe_data": "toy-nameless"}, InputError, "it names no people"),
        ({"limit": 240}, InputError, "All 240 photographs of 'toy-crowd' show targets or their people"),
        ({"probe_data": "toy-targets"}, UsageError, "probe_data: 'toy-targets' holds no photographs"),
        ({"probe_data": "nobody:here"}, UsageError, "probe_data: "),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_from_is_one_line_before_anything_is_computed(
    crowded: Host, tmp_path: Path, embedded: list[int], changes: dict[str, object], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text) as error:
        photographs(crowded, tmp_path, **changes)
    assert "\n" not in str(error.value)
    assert not embedded


def test_the_option_alone_makes_another_cell(crowded: Host) -> None:
    def made(**changes: object) -> str:
        config, source = load_config(None, {**TOY, "probe_data": "", **changes})
        return cell_id(cells(config, crowded, source)[0])

    assert made() == made(probe_data_limit=50)
    assert len({made(), made(probe_data="toy-crowd"), made(probe_data="toy-crowd", probe_data_limit=200)}) == 3
