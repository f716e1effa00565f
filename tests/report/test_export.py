"""Tables in other people's formats: the numbers are the records', the reported ones are marked."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest


def record(run_folder: Path, place: int) -> dict:
    return json.loads((run_folder / "cells" / f"{place:016x}.json").read_text())


def test_csv_has_every_digit(run, full_run: Path) -> None:
    result = run("export", full_run, "--format", "csv")
    assert result.code == 0, result.err
    lines = list(csv.DictReader(io.StringIO(result.out)))
    found = {(line["table"], line["row"], line["column"]): line for line in lines}
    for place, column in enumerate(("ID only", "ID+LMs", "ID+LMs+Hist")):
        for row, metric in (("MSE", "mse"), ("PSNR", "psnr"), ("SSIM", "ssim"), ("Landmark error", "landmark_error")):
            line, truth = found["scores", row, column], record(full_run, place)["metrics"][metric]
            assert [float(line[key]) for key in ("value", "low", "high")] == [truth[k] for k in ("mean", "low", "high")]
            assert line["reported"] == "0"
        shares = [row for row in record(full_run, place)["success"] if row["role"] == "critic" and row["fmr"] == 0.01]
        line = found["success", "facenet.msceleb (unseen critic), FMR 0.01, type I", column]
        assert float(line["value"]) == shares[0]["share"]
    reported = {
        line["column"]: float(line["value"]) for line in lines if line["reported"] == "1" and line["row"] == "PSNR"
    }
    assert reported == {"ID only, reported": 12.98, "ID+LMs, reported": 13.21, "ID+LMs+Hist, reported": 13.35}


def test_json_and_csv_agree(run, full_run: Path) -> None:
    tables = run("export", full_run, "--format", "json").json
    lines = list(csv.DictReader(io.StringIO(run("export", full_run, "--format", "csv").out)))
    values = [cell["value"] for table in tables for row in table["rows"] for cell in row["cells"]]
    assert [line["value"] and float(line["value"]) for line in lines] == ["" if v is None else v for v in values]
    assert [table["table"] for table in tables] == ["scores", "success", "identification", "cosines"]
    subject = {"encoder": "arcface.mobilefacenet", "generator": "dcgan.digiface", "dataset": "folder:people"}
    assert all(line[key] == value for line in lines for key, value in subject.items())
    assert all(table[key] == value for table in tables for key, value in subject.items())
    cosines = [line for line in lines if line["table"] == "cosines" and line["column"] == "mean"]
    assert [line["printed"] for line in cosines if line["reported"] == "1"] == ["0.77", "0.40", "0.22", "0.18"]


def test_markdown_rows_are_as_wide_as_the_head(run, full_run: Path) -> None:
    text = run("export", full_run, "--format", "markdown").out
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1
    assert "| PSNR (dB) ↑ |" in text
    assert "too few pairs" in text


def test_latex_has_nothing_unescaped(run, full_run: Path) -> None:
    text = run("export", full_run, "--format", "latex").out
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 4
    for body in re.findall(r"\\midrule\n(.*?)\\bottomrule", text, re.DOTALL):
        columns = {len(re.findall(r"(?<!\\)&", line)) for line in body.strip().splitlines()}
        assert len(columns) == 1
    plain = re.sub(r"\\[%&_#$]|\$[^$]+\$|^%.*$", "", text, flags=re.MULTILINE)
    assert not re.findall(r"(?<!\\)[%#_$]", plain)
    assert text.isascii()


def test_one_table_into_a_file(run, full_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.md"
    result = run("export", full_run, "--format", "markdown", "--table", "success", "--out", out)
    assert (result.code, result.out) == (0, "")
    assert "type II" in out.read_text()
    assert "PSNR" not in out.read_text()


@pytest.mark.parametrize("arguments", [("--format", "yaml"), (), ("--format", "csv", "--table", "probes")])
def test_what_cannot_be_exported_is_one_line(run, full_run: Path, arguments: tuple[str, ...]) -> None:
    result = run("export", full_run, *arguments)
    assert result.code in (2, 3)
    assert "Traceback" not in result.err
    if "probes" in arguments:
        assert "It has: scores, success, identification, cosines." in result.err


def test_table_1_beside_the_papers(run, write_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = tmp_path / "run" / "probes"
    folder.mkdir(parents=True)
    common = {
        "encoder": "arcface.mobilefacenet",
        "attribute": "smiling",
        "dataset": "lfw:x",
        "n": 100,
        "recipe": "tuned",
    }
    rows = [
        common | {"source": source, "metrics": {"accuracy": {"mean": value, "low": value - 0.01, "high": value + 0.01}}}
        for source, value in (("descriptor", 0.8437), ("image", 0.9), ("baseline", 0.794))
    ]
    dataset = {"name": "lfw:x", "real": True, "fingerprint": "0", "images": {"test": 100}, "people": None}
    content = {"schema": 1, "id": "p", "kind": "probe", "dataset": dataset, "rows": rows}
    (folder / "p.json").write_text(json.dumps(content))
    lines = list(csv.DictReader(io.StringIO(run("export", folder.parent, "--format", "csv").out)))
    measured = {line["row"]: float(line["value"]) for line in lines if line["reported"] == "0"}
    assert list(measured.values()) == [0.8437, 0.9, 0.794]
    assert [line["encoder"] for line in lines[:3]] == ["arcface.mobilefacenet", "", ""]
    assert {line["dataset"] for line in lines} == {"lfw:x"}
    assert {line["row"]: line["printed"] for line in lines if line["reported"] == "1"} == {
        "From ID (VGGFace2), reported": "91.0 %",
        "From ID (ArcFace), reported": "81.7 %",
        "From image, reported": "92 %",
        "Baseline, reported": "50.4 %",
    }


def test_names_are_text_in_every_format(run, full_run: Path) -> None:
    (path,) = (full_run / "cells").glob(f"{0:016x}.json")
    evil = "=HYPERLINK(1) <script> ![x](http://x.invalid) [y](http://y.invalid)"
    content = json.loads(path.read_text())
    content["config"]["dataset"] = f"folder:{evil}"
    content["metrics"]["mse"]["unit"] = evil
    content["warnings"] = [evil]
    path.write_text(json.dumps(content))
    lines = list(csv.reader(io.StringIO(run("export", full_run, "--format", "csv").out)))
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "+", "@"))]
    markdown = run("export", full_run, "--format", "markdown").out
    assert "script>" in markdown
    assert not re.search(r"(?<!\\)<|(?<!\\)!\[|(?<!\\)\]\(", markdown)
