"""The paper's suite from beginning to end, on stand-ins of everything that it needs in the official formats."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import paper_files
import pytest
import yaml

from faceinv.contracts import Framing

SUITE = Path(__file__).parents[2] / "benchmarks" / "suites" / "paper.yaml"
#: What an inversion is made from.
FILES = ("resnet50_ft_dag.pth", "vgg_face_dag.pth", "ffhq.pkl")
#: Of MoFA-Test's 84 photographs of 78 people, these: the paper's networks take a second for each.
MOFA = {"ada": 2, "bo": 1}
PORTRAIT = Framing("portrait", (120, 100), ((0.35, 0.42), (0.65, 0.42), (0.5, 0.58), (0.39, 0.72), (0.61, 0.72)))


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str | Path]:
    """The command, with every variable set to a stand-in, and everything that takes long made short."""
    from faceinv_landmarks import training
    from faceinv_landmarks.probe import LandmarksProbe
    from faceinv_lfw.dataset import DEEP_FUNNELED
    from faceinv_photographs import mofa_test

    monkeypatch.setattr(mofa_test, "IMAGES", sum(MOFA.values()))
    monkeypatch.setattr(mofa_test, "PEOPLE", len(MOFA))
    recipe = replace(LandmarksProbe.paper_recipe(cast(LandmarksProbe, None)), epochs=2)
    monkeypatch.setattr(LandmarksProbe, "paper_recipe", lambda self: recipe)
    for name, schedule in training.RECIPES.items():
        monkeypatch.setitem(training.RECIPES, name, replace(schedule, epochs=1))
    paper_files.shrink_networks(monkeypatch)
    files = paper_files.write_networks(tmp_path)
    celeba = paper_files.write_celeba(tmp_path / "celeba")
    lfw = tmp_path / "lfw"
    values: dict[str, object] = {
        **files,
        "celeba": celeba,
        "mofa": paper_files.write_people(tmp_path / "mofa", MOFA, "{person}_{number}.png", PORTRAIT, 1),
        "lfw": lfw,
        "probe_data": f"celeba.paper-uncropped:{celeba}",
        "steps": 1,
        "pairs": 100,
        "limit": 2,
        "recipes": "paper",
        "image_epochs": 1,
        "out": tmp_path / "out",
    }
    paper_files.write_people(
        lfw / "lfw-deepfunneled", {"Cy": 2}, "{person}/{person}_{number:04d}.jpg", DEEP_FUNNELED, 2
    )
    trust = [part for file in files.values() for part in ("--trust", file)]
    return [*trust, "suite", SUITE, *(part for name, value in values.items() for part in ("--set", f"{name}={value}"))]


@pytest.mark.timeout(900)  # less than a minute of one core, more on a busy machine
def test_the_papers_suite_runs_from_files_in_the_official_formats(
    run: Any, cache: Path, suite: list[str | Path], tmp_path: Path
) -> None:
    steps = yaml.safe_load(SUITE.read_text())["steps"]
    result = run(*suite)
    assert result.code == 0, result.err
    done = re.findall(r"^([\w-]+) +done ", result.out, re.MULTILINE)
    assert done == list(steps)

    out = tmp_path / "out"
    records = {path: path.read_bytes() for path in out.rglob("*.json")}
    cells = [json.loads(text) for path, text in records.items() if path.parent.name == "cells"]
    assert {(cell["config"]["dataset"].partition(":")[0], cell["n"]) for cell in cells} == {
        ("mofa-test", 3), ("lfw.deepfunneled", 2)
    }  # fmt: skip
    judge = hashlib.sha256((out / "judge.safetensors").read_bytes()).hexdigest()
    of_networks = {hashlib.sha256((tmp_path / name).read_bytes()).hexdigest() for name in FILES}
    for cell in cells:
        assert cell["status"] == "ok"
        # Every record contains the hash of every file that its numbers depend on.
        assert of_networks <= set(cell["weights"].values())
        assert cell["weights"]["landmarks/judge"] == judge
        assert cell["config"]["objective"] == "paper"
        assert all(score["learnt_from"].startswith("100 photographs") for score in cell["probes"].values()), cell
    encoders = {json.loads(text)["config"]["encoder"] for path, text in records.items() if path.parent.name == "probes"}
    assert encoders == {"vggface2.resnet50-ft", "arcface.r50-ms1mv3"}

    table_1, table_2 = ((out / f"table-{number}.tex").read_text() for number in (1, 2))
    for row in ("From the image", "From the image (recipe paper)", "Always the same guess", "From ID (ArcFace)"):
        assert row in table_1
    assert "Smiling" in table_1
    assert "ID+LMs+Hist" in table_2
    assert "12.98" in table_2  # reported by the paper
    assert "landmarks" in (out / "figure-7.tex").read_text()
    for number in (2, 3, 5, 6, 7, 8, 9):
        drawn = list(out.glob(f"figure-{number}*.pdf"))
        assert len(drawn) == (2 if number < 4 else 1)
        assert all(path.read_bytes().startswith(b"%PDF") for path in drawn)
    page = (out / "report.html").read_text()
    for heading in ("Table 1", "Table 2", "Figure 7", "Figure 9", 'alt="Figure'):
        assert heading in page

    planned = run(*suite, "--dry-run")
    assert planned.code == 0, planned.err
    assert planned.out.count("3 cells, 3 computed") == 2
    again = run(*suite, "--step", "table-2")
    assert again.code == 0, again.err
    assert {path: path.read_bytes() for path in out.rglob("*.json")} == records
