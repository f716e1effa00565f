"""Runs made apart become one if one command could have made them; otherwise nothing is written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "6", "--batch-size", "2", "--steps", "4", "--pairs", "200", "--losses", "id",
    "--metric", "mse", "--metric", "id_sim_critic",
]  # fmt: skip
Run = Callable[..., Any]


def test_shards_without_a_common_folder_become_the_whole(run: Run, cache: Path, tmp_path: Path) -> None:
    seeds = ("--seed", "0", "--seed", "1")
    whole = run(*GRID, *seeds, "--json", "--out", tmp_path / "whole").json
    shards = [tmp_path / name for name in "ab"]
    for number, shard in enumerate(shards, 1):
        assert run(*GRID, *seeds, "--shard", f"{number}/2", "--out", shard).code == 0
    # Six batches, three a shard: one finished cell each.
    assert run("merge", *shards, "--out", tmp_path / "out").code == 0
    assert run(*GRID, *seeds, "--json", "--out", tmp_path / "out").json == whole


def test_a_divided_cell_is_put_together_without_computing_anything(run: Run, cache: Path, tmp_path: Path) -> None:
    whole = run(*GRID, "--json", "--out", tmp_path / "whole").json
    shards = [tmp_path / name for name in "abc"]
    for number, shard in enumerate(shards, 1):
        assert run(*GRID, "--shard", f"{number}/3", "--out", shard).code == 0
    some = run("merge", *shards[:2], "--out", tmp_path / "out")
    assert some.code == 1
    assert "lacks 2 targets" in some.err
    every = run("merge", shards[2], "--out", tmp_path / "out")
    assert every.code == 0
    assert "1 cell is complete except for scores" in every.err
    pictures = {path: path.stat().st_mtime_ns for path in tmp_path.glob("out/cells/*/*.png")}
    assert len(pictures) == 18
    assert run(*GRID, "--json", "--out", tmp_path / "out").json == whole
    assert {path: path.stat().st_mtime_ns for path in pictures} == pictures


def test_what_does_not_match_is_refused(run: Run, cache: Path, tmp_path: Path) -> None:
    a, b, out = tmp_path / "a", tmp_path / "b", tmp_path / "out"
    assert run(*GRID, "--out", a).code == 0
    assert run(*GRID, "--limit", "4", "--out", b).code == 0
    refused = run("merge", a, b, "--out", out)
    assert refused.code == 3
    assert "config 'limit' is 6 in one and 4 in the other" in refused.err
    (file,) = (a / "cells").glob("*.json")
    (b / "cells").rename(tmp_path / "old")
    (b / "cells").mkdir()
    # Without its checksum, as an older version or another program may have written it.
    record = json.loads(file.read_text()) | {"checksum": ""}
    for change, said in (
        ({"schema": 1}, "has schema 1, and this version writes"),
        ({"code": record["code"] | {"faceinv": "0" * 16}}, "code 'faceinv' is"),
        ({"weights": {}, "metrics": {}}, "'metrics' of cell"),
    ):
        (b / "cells" / file.name).write_text(json.dumps(record | change))
        refused = run("merge", a, b, "--out", out)
        assert (refused.code, len(refused.err.splitlines())) == (3, 1)
        assert said in refused.err
    (b / "cells" / file.name).write_text("{")
    assert "is not a record" in run("merge", a, b, "--out", out).err
    assert "is not a run" in run("merge", a, tmp_path, "--out", out).err
    assert not out.exists()


def test_records_of_before_a_key_was_there_can_be_merged(run: Run, cache: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "a", tmp_path / "b"]
    for seed, path in enumerate(runs):
        assert run(*GRID, "--seed", seed, "--out", path).code == 0
        (file,) = (path / "cells").glob("*.json")
        record = json.loads(file.read_text())
        del record["config"]["skip"], record["checksum"]
        file.write_text(json.dumps(record))
    merged = run("merge", *runs, "--out", tmp_path / "out")
    assert merged.code == 0, merged.err
    assert len(list((tmp_path / "out" / "cells").glob("*.json"))) == 2


@pytest.mark.parametrize("twice", [True, False])
def test_a_cell_that_is_there_twice_is_there_once(run: Run, cache: Path, tmp_path: Path, twice: bool) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    assert run(*GRID, "--out", a).code == 0
    assert run(*GRID, "--seed", "0" if twice else "1", "--out", b).code == 0
    merged = run("merge", a, b, "--json", "--out", tmp_path / "out")
    assert merged.code == 0
    assert len(merged.json["finished"]) == (1 if twice else 2)
