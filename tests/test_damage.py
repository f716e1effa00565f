"""What is damaged, edited or a link is noticed: computed again where it can be, otherwise named with the remedy."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from faceinv.errors import InputError
from faceinv.plugins import Host
from faceinv.report.contact import contact_sheet
from faceinv.report.page import render
from faceinv.report.runs import read_runs
from faceinv.storage.merging import merge
from faceinv.storage.parts import Parts
from faceinv.storage.run_folder import RunFolder
from faceinv.testing import toy

GRID = [
    "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--dataset", "toy-targets",
    "--limit", "3", "--batch-size", "2", "--steps", "3", "--pairs", "200", "--losses", "id,brightness",
    "--metric", "mse", "--metric", "psnr",
]  # fmt: skip
Run = Callable[..., Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run of the toy chain, and the cache that it was computed with."""
    from faceinv.cli import main

    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACEINV_CACHE", str(folder / "cache"))
        with pytest.raises(SystemExit) as stopped:
            main(["--plugin", str(toy.__file__), *GRID, "--out", str(folder / "run")])
    assert not stopped.value.code
    return folder / "run", folder / "cache"


@pytest.fixture
def copy(made: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, to be damaged."""
    monkeypatch.setenv("FACEINV_CACHE", str(made[1]))
    shutil.copytree(made[0], tmp_path / "run")
    return tmp_path / "run"


def cell_id(run_folder: Path) -> str:
    (path,) = (run_folder / "cells").glob("*.json")
    return path.stem


def content(run_folder: Path) -> dict[str, bytes]:
    """Return every file of the cells; the record without times."""
    files = [file for file in (run_folder / "cells").rglob("*.*") if file.suffix not in (".lock", ".json")]
    (record,) = (run_folder / "cells").glob("*.json")
    kept = {key: value for key, value in json.loads(record.read_text()).items() if key != "seconds"}
    return {str(file.relative_to(run_folder)): file.read_bytes() for file in files} | {"": json.dumps(kept).encode()}


def flipped(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def linked(path: Path) -> None:
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


DAMAGE: dict[str, Callable[[Path], Any]] = {
    "flipped": flipped,
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "empty": lambda path: path.write_bytes(b""),
    "gone": lambda path: path.unlink(),
    "link": linked,
}
FILES = ("{}.parquet", "{}/read.npz", "{}/00001.png", "{}/00002-start.png", "{}/00000-target.png", "{}.json")


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_makes_its_cell_unfinished(copy: Path, damage: str) -> None:
    name = cell_id(copy)
    folder = RunFolder(copy)
    for number, pattern in enumerate(FILES):
        run_folder = copy.with_name(str(number))
        shutil.copytree(copy, run_folder)
        file, folder = run_folder / "cells" / pattern.format(name), RunFolder(run_folder)
        DAMAGE[damage](file)
        said: list[str] = []
        assert folder.finished(name, said.append) is None, file
        if (file.suffix, damage) == (".json", "gone"):
            assert not said
            continue
        assert [str(file) in text for text in said] == [True]
        # The page, the table and the sheet are made all the same, of what is left.
        if file.suffix == ".png":
            runs = read_runs([run_folder])
            assert contact_sheet(runs)
            assert "data:image/png" in render(runs)
        elif file.suffix == ".npz":
            assert folder.read_attributes(name) == {} or damage == "flipped"
        else:
            with pytest.raises(InputError, match=name):
                read_runs([run_folder])
        with pytest.raises(InputError, match=name):
            merge([run_folder], copy.with_name("out"))
    assert not copy.with_name("out").exists()


def test_the_same_command_repairs_a_damaged_run(run: Run, copy: Path) -> None:
    before, name = content(copy), cell_id(copy)
    for pattern in FILES[1:3]:
        flipped(copy / "cells" / pattern.format(name))
    bench = run(*GRID, "--out", copy)
    assert bench.code == 0, bench.err
    assert len([line for line in bench.err.splitlines() if "computed again" in line]) == 1
    assert content(copy) == before


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone"])
@pytest.mark.parametrize("file", ["parts/00000-00002.npz", "00001.png"])
def test_a_damaged_batch_is_computed_again(
    host: Host, made: tuple[Path, Path], tmp_path: Path, damage: str, file: str
) -> None:
    from faceinv.bench.config import load_config
    from faceinv.bench.grid import cells
    from faceinv.bench.resources import Resources
    from faceinv.bench.runner import Runner
    from faceinv.models import Loader
    from faceinv.weights import WeightStore

    config, source = load_config(
        None,
        {
            "encoder": "toy", "critic": "toy.critic", "generator": "toy-faces", "dataset": "toy-targets",
            "losses": "id", "limit": 3, "steps": 2, "pairs": 200, "metrics": ["mse"],
        },
    )  # fmt: skip
    said: list[str] = []
    loader, cache = Loader(host, WeightStore(host, cache=made[1])), made[1] / "trained"
    resources = Resources(loader, RunFolder(tmp_path), cache=cache, say=said.append)
    runner = Runner(resources, batch_size=2)
    named = resources.name(cells(config, host, source)[0])
    runner.compute(named, range(2))
    assert runner.missing(named) == [range(2, 3)]
    DAMAGE[damage](Parts(runner.folder, named.id).path.parent / file)
    assert runner.missing(named) == [range(2), range(2, 3)]
    assert len(said) == (0 if (damage, file[-3:]) == ("gone", "npz") else 1)


def test_verify_names_what_is_not_as_it_was_written(run: Run, copy: Path) -> None:
    name = cell_id(copy)
    whole = run("verify", copy, "--json")
    assert whole.code == 0, whole.err
    assert {item["state"] for item in whole.json} == {"ok"}
    # The record, its rows, what was read, three pictures per target, and the folder of the targets.
    assert len(whole.json) == 1 + 1 + 1 + 3 * 3 + 1
    flipped(copy / "cells" / f"{name}.parquet")
    (copy / "cells" / name / "00000.png").unlink()
    (index,) = copy.glob("targets/*/index.json")
    flipped(index)
    some = run("verify", copy, "--json")
    assert some.code == 1
    states = {Path(item["file"]).name: item["state"] for item in some.json if item["state"] != "ok"}
    assert states == {f"{name}.parquet": "changed", "00000.png": "missing", index.parent.name: "changed"}
    # An edited metric.
    record = copy / "cells" / f"{name}.json"
    record.write_text(record.read_text().replace('"mean": ', '"mean": 1', 1))
    edited = run("verify", copy)
    assert edited.code == 1
    assert "was changed after it was written" in edited.out
    assert run("verify", copy / "cells").code == 3


def test_nothing_outside_a_run_is_read_copied_or_overwritten(run: Run, copy: Path, tmp_path: Path) -> None:
    secret, cells = tmp_path / "secret", copy / "cells"
    secret.write_text("mine")
    for link in (copy / "report.html", copy / "methods.html", copy / "contact.png"):
        link.unlink(missing_ok=True)
        link.symlink_to(secret)
    assert run("report", copy).code == 0
    assert run("compare", copy).code == 0
    contact_sheet(read_runs([copy]))
    assert secret.read_text() == "mine"
    # A folder that is a link: none of its pictures is on the page.
    name = cell_id(copy)
    (cells / name).rename(tmp_path / "pictures")
    (cells / name).symlink_to(tmp_path / "pictures")
    assert "data:image/png" not in render(read_runs([copy]))
    assert run("merge", copy, "--out", tmp_path / "out").code == 3
    os.unlink(cells / name)
    os.mkfifo(cells / f"{name}.fifo.json")
    assert "pipe, socket or device" in read_runs([copy]).problems[0]
    assert run("merge", copy, "--out", tmp_path / "out").code == 3
    assert not (tmp_path / "out").exists()


def test_a_sheet_that_cannot_be_written_is_not_in_the_way(run: Run, copy: Path) -> None:
    (copy / "contact.png").unlink()
    (copy / "contact.png").mkdir()
    bench = run(*GRID, "--out", copy)
    assert bench.code == 0
    assert "MSE" in bench.out
    assert "No contact sheet" in bench.err


def test_names_that_are_not_utf_8(run: Run, made: tuple[Path, Path], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("FACEINV_CACHE", str(made[1]))
    odd = os.fsdecode(b"M\xfcller")
    out = tmp_path / odd
    assert run(*GRID, "--out", out).code == 0
    assert run("verify", out).code == run("report", out).code == 0
    # A failure is recorded as well.
    assert run(*GRID, "--dataset", f"folder:{odd}", "--out", out).code == 1
    records = [json.loads(path.read_text()) for path in (out / "cells").glob("*.json")]
    assert {record["config"]["dataset"] for record in records} == {"toy-targets", "folder:M\\xfcller"}
    np.save(tmp_path / f"{odd}.npy", np.random.default_rng(0).standard_normal((1, 12)).astype(np.float32))
    options = (
        "--encoder",
        "toy",
        "--critic",
        "toy.critic",
        "--generator",
        "toy-faces",
        "--pairs",
        "200",
        "--steps",
        "2",
    )
    inverted = run("invert", tmp_path / f"{odd}.npy", *options, "--losses", "id", "--out", tmp_path / "inverted")
    assert inverted.code == 0, inverted.err
    assert (tmp_path / "inverted" / "M\\xfcller.png").is_file()
    verified = run("verify", tmp_path / "inverted", "--json")
    assert (verified.code, len(verified.json)) == (0, 4)
