"""Results in one file: written, checked against pictures, and refused where something does not fit."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from faceinv.bench.checking import ALL, digits_held
from faceinv.errors import InputError
from faceinv.report.kept_boards import read_boards
from faceinv.storage.schema import checksum
from faceinv.storage.submissions import read_submission

SUBMISSIONS = Path(__file__).parents[1] / "benchmarks" / "results" / "submissions"


@pytest.fixture
def made(run: Callable[..., Any], toy_run: Path, tmp_path: Path) -> Path:
    """A finished run with its submission."""
    assert run("submit", toy_run, "--out", tmp_path / "mine.json").code == 0
    return toy_run


def _edited(path: Path, edit: Callable[[dict[str, Any]], None], *, sealed: bool) -> None:
    """Change a submission; ``sealed`` makes its checksums fit again, as a forger would."""
    content = json.loads(path.read_text())
    edit(content)
    if sealed:
        for cell in content["cells"]:
            cell["record"]["checksum"] = checksum(cell["record"])
        content["checksum"] = checksum(content)
    path.write_text(json.dumps(content))


def test_scores_hold_to_the_last_digit_on_the_run_and_on_copied_pictures(run, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    record = json.loads(file.read_text())["cells"][0]["record"]
    assert record["plugins"]["encoder toy.attacked"] == "toy.py (not installed)"
    assert record["plugins"]["metric psnr"].startswith("faceinv-")
    pictures = tmp_path / "pictures"
    shutil.copytree(made / "cells" / record["id"], pictures)
    for place in (made, pictures, made / "cells"):
        result = run("verify", file, place, "--json")
        assert result.code == 0, result.err
        (cell,) = result.json
        assert {score["score"] for score in cell["scores"]} >= {"psnr", "id_sim_critic", "success"}
        assert "psnr_ceiling" not in {score["score"] for score in cell["scores"]}
        assert all(score["digits"] == ALL and score["holds"] for score in cell["scores"])
        assert cell["notes"] == []
    assert sorted(path.name for path in pictures.iterdir() if path.suffix == ".json") == []


def test_a_forged_score_is_found_by_computing_it_again(run, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"

    def forge(content: dict[str, Any]) -> None:
        content["cells"][0]["record"]["metrics"]["psnr"]["mean"] += 0.1

    _edited(file, forge, sealed=True)
    result = run("verify", file, made)
    assert result.code == 1
    (line,) = [line for line in result.out.splitlines() if "DIFFERS" in line]
    assert "psnr" in line


def test_other_pictures_are_refused(run, made: Path, tmp_path: Path) -> None:
    (picture,) = made.glob("cells/*/00001.png")
    other = picture.with_name("00000.png").read_bytes()
    picture.unlink()
    picture.write_bytes(other)
    result = run("verify", tmp_path / "mine.json", made)
    assert result.code == 1
    assert "00001.png was changed" in result.err
    result = run("verify", tmp_path / "mine.json", tmp_path)
    assert result.code == 1
    assert "has no pictures of cell" in result.err
    result = run("submit", made)
    assert result.code == 3
    assert "00001.png was changed" in result.err


def _encoder(content: dict[str, Any]) -> None:
    content["cells"][0]["record"]["config"]["encoder"] = "command:touch pwned"


def _older(content: dict[str, Any]) -> None:
    content["cells"][0]["record"]["schema"] = 1


def _short(content: dict[str, Any]) -> None:
    content["cells"][0]["rows"]["psnr"].pop()


def _future(content: dict[str, Any]) -> None:
    content["schema"] = 9


def _endless(content: dict[str, Any]) -> None:
    content["cells"][0]["record"]["n"] = 2**50


def _outside(content: dict[str, Any]) -> None:
    content["cells"][0]["record"]["id"] = "../../elsewhere"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_older, "has schema 1"),
        (_short, "the column 'psnr' has 4 values for 5 targets"),
        (_future, "it has schema 9; this version reads 1"),
        (_endless, "n = 1125899906842624"),
        (_outside, "record.id"),
    ],
)
def test_a_hostile_file_gives_one_line(
    run, made: Path, tmp_path: Path, edit: Callable[[dict[str, Any]], None], message: str
) -> None:
    file = tmp_path / "mine.json"
    _edited(file, edit, sealed=True)
    result = run("verify", file, made)
    assert result.code == 3, result.err
    (line,) = result.err.splitlines()
    assert message in line


def test_a_program_in_a_file_is_not_run(run, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _edited(tmp_path / "mine.json", _encoder, sealed=True)
    result = run("verify", tmp_path / "mine.json", made)
    assert result.code == 1
    assert "a place and not a name" in result.err
    assert not (tmp_path / "pwned").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "Expecting value"),
        (b"[1]", "a record is a mapping"),
        (b'{"format": "faceinv submission"', "Expecting"),
        (b"{}", "'faceinv submit RUN' writes one"),
        (b"\x80\x04K\x01.", "invalid start byte"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"format": "faceinv submission", "schema": 1, "cells": [], "checksum": "x"}', "its checksum differs"),
    ],
)
def test_what_is_no_submission(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(InputError, match="is not a submission") as raised:
        read_submission(tmp_path / "x.json")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_an_edit_without_new_checksums_is_refused(run, made: Path, tmp_path: Path) -> None:
    def forge(content: dict[str, Any]) -> None:
        content["cells"][0]["record"]["seconds"]["invert"] = 0.0

    _edited(tmp_path / "mine.json", forge, sealed=False)
    result = run("verify", tmp_path / "mine.json", made)
    assert result.code == 3
    assert "its checksum differs" in result.err
    result = run("verify", tmp_path / "mine.json")
    assert result.code == 2
    assert "name the run" in result.err


def test_a_submission_stands_for_its_run(run, made: Path, tmp_path: Path) -> None:
    of_run, of_file = run("compare", made, "--json"), run("compare", tmp_path / "mine.json", "--json")
    assert of_file.code == 0, of_file.err
    assert of_file.json == of_run.json
    assert (tmp_path / "mine-methods.html").is_file()
    assert run("report", tmp_path / "mine.json").code == 0
    assert "missing" not in run("report", tmp_path / "mine.json").err
    # A kept leaderboard may be a submission too.
    also = run("compare", made, "--also", tmp_path / "mine.json", "--json")
    assert also.json == of_run.json


def test_a_board_names_the_plugin_of_a_method_that_faceinv_does_not_contain(run, made: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"

    def foreign(content: dict[str, Any]) -> None:
        record = content["cells"][0]["record"]
        assert record["plugins"]["method latent-adam"].startswith("faceinv-")
        record["plugins"]["method latent-adam"] = "somebodys-methods 1.2"

    assert "faceinv-" not in run("compare", file).out
    _edited(file, foreign, sealed=True)
    assert "latent-adam (somebodys-methods 1.2)" in run("compare", file).out


@pytest.mark.parametrize("path", sorted(SUBMISSIONS.glob("*.json")), ids=lambda path: path.stem)
def test_a_kept_submission_makes_boards(path: Path) -> None:
    for board in read_boards(path):
        assert board.places
        assert board.kind == "samples of the generator"


@pytest.mark.parametrize(
    ("pairs", "digits"),
    [
        ([(1.0, 1.0), (None, None)], ALL),
        ([(1.0, None)], 0),
        ([(0.5, 0.4999), (0.0001, 0.0001)], 3),
        ([(0.001, 0.002), (100.0, 100.0)], 5),
        ([(1.0, -1.0)], 0),
    ],
)
def test_digits(pairs: list[tuple[float | None, float | None]], digits: int) -> None:
    assert digits_held(pairs) == digits
