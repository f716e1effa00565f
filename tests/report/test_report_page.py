"""The page as text: its numbers are the records' own, and nothing of it lies elsewhere."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from faceinv.report.pictures import Pictures


class Numbers(HTMLParser):
    """Every ``<data>`` of a page: its attributes and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[dict[str, str | None], str]] = []
        self._open: dict[str, str | None] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "data":
            self._open = dict(attrs)

    def handle_data(self, data: str) -> None:
        if self._open is not None:
            self.found.append((self._open, data))
            self._open = None


def look_up(run: Path, record: str, pointer: str) -> Any:
    keys = [key.replace("~1", "/").replace("~0", "~") for key in pointer.split("/")[1:]]
    if keys[0] == "rows":
        return pq.read_table(run / "cells" / f"{record}.parquet").to_pydict()[keys[1]][int(keys[2])]
    found = json.loads((run / "cells" / f"{record}.json").read_text())
    for key in keys:
        found = found[int(key)] if isinstance(found, list) else found[key]
    return found


def written(run, out: Path, *args: Any) -> str:
    result = run("report", *args, "--out", out)
    assert result.code == 0, result.err
    assert result.err.strip().splitlines()[-1] == f"report: {out}"
    return out.read_text()


def test_every_number_is_the_records_own_to_the_last_digit(run, full_run: Path, tmp_path: Path) -> None:
    page = Numbers(written(run, tmp_path / "page.html", full_run))
    checked = 0
    for attributes, text in page.found:
        if not attributes.get("data-record"):
            continue
        truth = look_up(full_run, attributes["data-record"], attributes["data-pointer"])
        if truth is None:
            assert (attributes["value"], text) == ("", "–")
            continue
        assert float(attributes["value"]) == truth, attributes
        # What is shown is that number, rounded; shares are shown in percent.
        shown = float(re.match(r"[+−]?[\d.]+", text)[0].replace("−", "-"))
        decimals = len(text.partition(".")[2].split(" ")[0])
        assert any(math.isclose(shown, truth * scale, abs_tol=0.5 * 10**-decimals + 1e-9) for scale in (1, 100)), text
        checked += 1
    assert checked > 150
    pointers = {
        attributes.get("data-pointer", "").split("/")[1]
        for attributes, _ in page.found
        if attributes.get("data-pointer")
    }
    assert {"metrics", "success", "identification", "recognition", "rows", "seconds", "queries"} <= pointers


def test_differences_are_paired(run, full_run: Path, tmp_path: Path) -> None:
    page = Numbers(written(run, tmp_path / "page.html", full_run))
    a, b = (pq.read_table(full_run / "cells" / f"{place:016x}.parquet").to_pydict()["psnr"] for place in (0, 2))
    truth = float(np.mean(np.subtract(b, a)))
    assert any(
        attributes["value"] and math.isclose(float(attributes["value"]), truth, rel_tol=1e-12)
        for attributes, _ in page.found
        if "data-record" not in attributes
    )


def test_the_page_holds_all_it_shows(run, full_run: Path, tmp_path: Path) -> None:
    page = written(run, tmp_path / "page.html", full_run)
    assert not re.findall(r"(?:src|srcset|href|action|data)=\"(?!data:image/|#)", page)
    assert not re.findall(r"url\(|@import|<link|<iframe|<object", page)
    assert "default-src &#39;none&#39;; img-src data:;" in page
    # Names are text, whatever is in them.
    assert "<b>&photo" not in page
    assert page.count("data:image/png") >= 6 * 5


def test_a_page_for_data_that_may_not_be_shown(run, full_run: Path, tmp_path: Path) -> None:
    page = written(run, tmp_path / "page.html", full_run, "--no-images")
    assert "data:image" not in page
    assert "photo_" not in page
    assert 'data-pointer="/rows/' not in page
    with_pictures = Numbers(written(run, tmp_path / "full.html", full_run))
    aggregates = [item for item in with_pictures.found if "/rows/" not in (item[0].get("data-pointer") or "")]
    assert Numbers(page).found == aggregates


def test_reported_values_stand_beside(run, full_run: Path, tmp_path: Path) -> None:
    page = written(run, tmp_path / "page.html", full_run)
    for value in ("2.05", "2.14", "2.03", "12.98", "13.21", "13.35"):
        assert f"reported {value}" in page
    for who in ("ID2image 0.77", "Genova et al. 0.40", "Tran et al. 0.22", "MoFA 0.18"):
        assert who in page


def test_what_is_missing_is_said(run, full_run: Path, tmp_path: Path) -> None:
    for path in (full_run / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        del record["recognition"], record["success"], record["identification"]
        path.write_text(json.dumps(record))
    page = written(run, tmp_path / "page.html", full_run)
    assert "hold no distributions" in page
    assert "hold no attack success" in page
    assert "No probe run was given" in page


def test_failed_cells_and_broken_files_are_shown(run, full_run: Path, tmp_path: Path) -> None:
    cells = full_run / "cells"
    (cells / "broken.json").write_text("{")
    config = json.loads(next(cells.glob("0*.json")).read_text())["config"]
    failed = {"schema": 2, "id": "f" * 16, "status": "failed", "error": "it broke <here>", "config": config}
    (cells / f"{'f' * 16}.json").write_text(json.dumps(failed))
    page = written(run, tmp_path / "page.html", full_run)
    assert "it broke &lt;here&gt;" in page
    assert "broken.json" in page


@pytest.mark.parametrize("name", ["missing", "empty", "file"])
def test_a_folder_without_a_run_is_one_line(run, tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    result = run("report", tmp_path / name)
    assert result.code == 3
    assert len(result.err.strip().splitlines()) == 1
    assert "Traceback" not in result.err


def test_table_1_comes_from_a_probe_run(run, full_run: Path, tmp_path: Path) -> None:
    probes = tmp_path / "probes-run" / "probes"
    probes.mkdir(parents=True)
    score = {"mean": 0.8437, "low": 0.82, "high": 0.86}
    row = {"encoder": "arcface.mobilefacenet", "attribute": "smiling", "source": "descriptor", "recipe": "tuned"}
    row |= {"dataset": "lfw:x", "n": 3312, "metrics": {"accuracy": score, "auc": score, "leakage": score}}
    dataset = {"name": "lfw:x", "real": True, "fingerprint": "0", "images": {"test": 3312}, "people": None}
    record = {"schema": 1, "id": "p", "kind": "probe", "dataset": dataset, "rows": [row]}
    (probes / "p.json").write_text(json.dumps(record))
    page = written(run, tmp_path / "page.html", full_run, probes.parent)
    assert "84.4" in page
    assert "81.7 %" in page
    assert "No probe run was given" not in page


def test_pages_of_84_targets_stay_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    # As hard to compress as photographs are, or harder.
    small = rng.integers(0, 255, (32, 32, 3), dtype=np.uint8)
    files = []
    for index in range(6):
        image = Image.fromarray(np.roll(small, index, 0)).resize((1024, 1024), Image.Resampling.BICUBIC)
        files.append(tmp_path / f"{index}.png")
        image.save(files[-1], compress_level=1)
    count = 84 * 5
    every = [files[index % 6] for index in range(6)]
    budget = 15_000_000 * 6 // count
    pictures = Pictures.fitting(every, budget)
    assert sum(len(pictures.uri(file)) for file in every) <= budget
    assert pictures.side >= 128


def test_several_runs_share_a_page(run, write_run, full_run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", ("id",), encoder="facenet.msceleb", critics=["facenet.msceleb"])
    page = written(run, tmp_path / "page.html", full_run, other)
    assert "What arcface.mobilefacenet and facenet.msceleb give away" in page
    assert "scores its own inversion" in page


def test_a_page_is_made_without_pictures_and_without_the_runs_plugins(run, full_run: Path, tmp_path: Path) -> None:
    for path in (full_run / "cells").glob("*.json"):
        record = json.loads(path.read_text())
        record["config"]["generator"] = "of-another-machine"
        path.write_text(json.dumps(record))
    page = written(run, tmp_path / "page.html", full_run)
    assert "landmarks are not drawn: Unknown generator" in page
    for path in full_run.glob("cells/*/*.png"):
        path.unlink()
    page = written(run, tmp_path / "page.html", full_run)
    assert "pictures of this run are gone" in page
    assert "data:image" not in page


def test_the_page_that_cannot_be_written_is_one_line(run, full_run: Path) -> None:
    result = run("report", full_run, "--out", "/proc/page.html")
    assert result.code == 6
    assert len(result.err.strip().splitlines()) == 1
