"""Records: each key has a meaning, old ones are read, and a wrong one is reported and stops nothing."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from faceinv.bench.grid import Cell
from faceinv.errors import FaceinvError
from faceinv.report.page import render
from faceinv.report.run_tables import exported, shown
from faceinv.report.runs import Runs, read_runs
from faceinv.storage import identity_records, records
from faceinv.storage.merging import merge
from faceinv.storage.records import CellConfig, CellRecord, FinishedCell, read_cell
from faceinv.storage.run_folder import RunFolder
from faceinv.storage.schema import Model

KEPT = Path(__file__).parents[1] / "records"
V2 = KEPT / "v2" / "cells" / "0123456789abcdef.json"
WRONG: tuple[Any, ...] = (None, "x", 0, -1, 1e300, [], {"a": "b"})


def models() -> Iterator[type[Model]]:
    for module in (records, identity_records):
        for item in vars(module).values():
            if isinstance(item, type) and issubclass(item, Model):
                yield item


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value; of a list only its first."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, item in value.items():
            yield from places(item, (*at, key))
    elif isinstance(value, list) and value:
        yield from places(value[0], (*at, 0))


def changed(content: dict[str, Any], at: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(content)
    inner = result
    for key in at[:-1]:
        inner = inner[key]
    inner[at[-1]] = value
    return result


def use(runs: Runs) -> None:
    exported(runs)
    shown(runs)
    render(runs, images=False)


def test_every_key_has_a_meaning() -> None:
    missing = [
        f"{model.__name__}.{name}" for model in models() for name, f in model.model_fields.items() if not f.description
    ]
    assert missing == []


def test_a_config_has_the_keys_of_a_cell() -> None:
    assert set(CellConfig.model_fields) == {field.name for field in fields(Cell)}


def test_a_record_is_written_as_it_was_read(tmp_path: Path) -> None:
    content = json.loads(V2.read_text()) | {"a plugin's protocol": [{"rank": 1, "none": None}]}
    folder = RunFolder(tmp_path)
    folder.write(FinishedCell.model_validate(content))
    written = json.loads(folder.record_path(content["id"]).read_text())
    assert len(written["checksum"]) == 64
    assert written | {"checksum": ""} == content
    assert isinstance(folder.read(content["id"]), FinishedCell)
    # Numbers that JSON does not have are null.
    record = FinishedCell.of("a", content | {"id": "a", "queries_mean": float("nan"), "losses": ("x", "y")})
    assert record.queries_mean is None


def test_records_of_schema_1_are_read(run: Callable[..., Any], tmp_path: Path) -> None:
    shutil.copytree(KEPT / "v1", tmp_path / "run")
    record = read_cell(next((tmp_path / "run" / "cells").glob("*.json")))
    assert isinstance(record, FinishedCell)
    assert (record.schema_number, record.config.critics, record.success) == (1, ["facenet.msceleb"], [])
    assert run("export", tmp_path / "run", "--format", "csv").code == 0
    assert run("compare", tmp_path / "run").code == 0
    assert run("report", tmp_path / "run").code == 0
    page = (tmp_path / "run" / "report.html").read_text()
    assert "an older version wrote them" in page
    # It counts as missing where a cell would be computed, and runs of different schemas are not merged.
    assert RunFolder(tmp_path / "run").finished(record.id) is None
    assert "has schema 1" in run("merge", tmp_path / "run", "--out", tmp_path / "out").err


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_one_wrong_value_stops_nothing(write_run: Callable[..., Path], tmp_path: Path, value: Any) -> None:
    run_folder = write_run(tmp_path / "run", ("id", "id,lm"), pictures=False)
    file = run_folder / "cells" / f"{1:016x}.json"
    content = json.loads(file.read_text())
    for name in list(content["metrics"])[2:]:
        del content["metrics"][name]
    wrong = 0
    for at in places(content):
        if len(at) > 2 and at[:2] in (("recognition", "critic"), ("recognition", "critic:vggface2.resnet50")):
            continue  # as for the attacked encoder
        file.write_text(json.dumps(changed(content, at, value)))
        runs = read_runs((run_folder,))
        assert len(list(runs.columns)) + len(runs.failed) + len(runs.problems) == 2, at
        for problem in runs.problems:
            wrong += 1
            assert str(file.stem) in problem
            assert "\n" not in problem
        if not runs.problems:
            use(runs)
    assert wrong > 60
    with suppress(FaceinvError):
        merge([run_folder], tmp_path / "out")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("[]", "a record is a mapping"),
        ("{}", ": Field required"),
        ('{"status": "failed"}', ": Field required"),
        ("\ud83d".encode("utf-16", "surrogatepass").decode("latin-1"), ""),
    ],
)
def test_what_is_no_record_is_reported(run: Callable[..., Any], full_run: Path, text: str, reason: str) -> None:
    file = full_run / "cells" / "wrong.json"
    file.write_text(text, encoding="latin-1")
    for command in (("report",), ("export", "--format", "csv")):
        result = run(command[0], full_run, *command[1:])
        assert result.code == 0, result.err
        assert f"{file}: " in result.err
        assert reason in result.err


def test_a_record_stands_in_a_file_of_its_own_name(full_run: Path) -> None:
    cells = full_run / "cells"
    source = cells / f"{0:016x}.json"
    for name in ("../../outside", "/etc/passwd", "a/b", "..", "0" * 15 + "1"):
        (cells / "other.json").write_text(json.dumps(json.loads(source.read_text()) | {"id": name}))
        (problem,) = read_runs((full_run,)).problems
        assert "other.json" in problem
        with pytest.raises(FaceinvError, match=r"other\.json"):
            merge([full_run], full_run.parent / "out")
    assert not (full_run.parent / "out").exists()


def test_rows_that_do_not_fit_their_record_are_reported(full_run: Path) -> None:
    folder, name = RunFolder(full_run), f"{0:016x}"
    rows = folder.columns(name)
    for wrong in (
        {"target": rows["target"][:2], "mse": rows["mse"][:2]},
        {"mse": rows["mse"]},
        rows | {"mse": ["x"] * 6},
    ):
        folder.write_rows(name, wrong)
        (problem,) = read_runs((full_run,)).problems
        assert f"{name}.parquet" in problem
    folder.rows_path(name).write_bytes(b"PAR1")
    assert len(read_runs((full_run,)).problems) == 1


def test_every_record_has_the_keys_of_its_kind() -> None:
    assert set(CellRecord.model_fields) < set(FinishedCell.model_fields)
    assert {"status", "error", "exit_code", "traceback"} < set(records.FailedCell.model_fields)
