"""What a notebook shows, and runs from Python."""

from __future__ import annotations

import base64
import html.parser
import io
import re
from pathlib import Path

import pandas
import pytest
import torch
from PIL import Image

import faceinv
from faceinv.errors import InputError, UsageError
from faceinv.testing import draw_faces, toy

CHEAP = {
    "generator": "toy-faces", "critic": "toy.critic", "dataset": "toy-targets", "limit": 2, "steps": [3], "pairs": 200,
    "metrics": ["mse", "id_sim_critic"],
}  # fmt: skip


class Checked(html.parser.HTMLParser):
    """Parses HTML and collects its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)
        assert self.opened == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag != "img":
            self.opened.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.opened.pop() == tag


@pytest.fixture
def finished(cache: Path, tmp_path: Path) -> Path:
    for name, steps in (("a", 3), ("b", 4)):
        faceinv.run(
            {"encoder": ["toy"], "losses": ["id"]},
            plugins=[toy.__file__],
            out=tmp_path / name,
            **CHEAP | {"steps": [steps]},
        )
    return tmp_path


def test_a_run_from_python_is_that_of_the_command_line(run, cache: Path, tmp_path: Path) -> None:
    runs = faceinv.run(encoder="toy", losses="id", plugins=[toy.__file__], out=tmp_path / "a", **CHEAP)
    options = [word for key, value in CHEAP.items() if key != "metrics" for word in (f"--{key}", value)]
    options = [word[0] if isinstance(word, list) else word for word in options]
    done = run(
        "bench", "--encoder", "toy", "--losses", "id", *options, "--metric", "mse", "--metric", "id_sim_critic",
        "--out", tmp_path / "a", "--plugin", toy.__file__, "--json",
    )  # fmt: skip
    assert done.json == runs.rows()
    assert faceinv.read_runs(tmp_path / "a").rows() == runs.rows()
    frame = runs.frame()
    assert isinstance(frame, pandas.DataFrame)
    [column] = runs.columns
    psnr = frame[frame["metric"] == "mse"].iloc[0]
    assert (psnr["mean"], psnr["n"], psnr["encoder"]) == (column.record.metrics["mse"].mean, 2, "toy.attacked")
    with pytest.raises(UsageError, match="unknown key 'stepz'"):
        faceinv.run(stepz=3)
    with pytest.raises(InputError, match="does not exist"):
        faceinv.read_runs(tmp_path / "c")


def test_a_notebook_shows_runs_and_comparisons(finished: Path) -> None:
    before = sorted(path for path in finished.rglob("*"))
    runs = faceinv.read_runs(finished / "a")
    shown = runs._repr_html_()
    assert {"table", "img"} <= Checked(shown).tags <= {"table", "caption", "tr", "th", "td", "img", "p", "i", "b"}
    assert shown.count("<img") == 6  # target, start and reconstruction of two targets
    [comparison] = faceinv.compare(finished / "a", finished / "b")
    text = comparison._repr_html_()
    Checked(text)
    assert comparison.verdict.split(":")[0] in text
    assert sorted(path for path in finished.rglob("*")) == before


def test_a_notebook_shows_inversions_and_probe_scores(cache: Path) -> None:
    encoder = faceinv.load_encoder("toy", plugins=[toy.__file__])
    leaked = encoder(draw_faces(10, encoder.spec.framing))
    given = {"generator": "toy-faces", "pairs": 200, "plugins": [toy.__file__]}
    result = faceinv.invert(leaked, encoder="toy", losses=["id"], steps=2, **given)
    shown = result._repr_html_()
    Checked(shown)
    uris = re.findall(r"base64,([^\"]+)", shown)
    assert len(uris) == 16
    assert "and 2 more" in shown
    with Image.open(io.BytesIO(base64.b64decode(uris[1]))) as image:
        pixels = torch.tensor(list(image.getdata())).view(16, 16, 3) / 255
    assert (pixels.permute(2, 0, 1) - result.images[0]).abs().max() <= 0.5 / 255 + 1e-6
    scores = faceinv.probe(["brightness"], encoder="toy", **given)
    assert f"{scores['brightness'].descriptor:.2f}" in scores._repr_html_()


def test_names_are_text(finished: Path) -> None:
    runs = faceinv.read_runs(finished / "a")
    [column] = runs.columns
    bad = column.record.model_copy(
        update={"config": column.config.model_copy(update={"dataset": "<script>x</script>"})}
    )
    study = type(runs.studies[0])((type(column)(column.folder, bad, column.rows),))
    shown = type(runs)(runs.paths, (study,))._repr_html_()
    assert "script" in shown
    assert "script" not in Checked(shown).tags
