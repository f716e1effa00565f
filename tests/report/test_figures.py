"""The paper's figures from a run: what they show comes from its files, and what is missing is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from faceinv.report.figures import same_person
from faceinv.report.figures.drawing import draw
from faceinv.report.figures.sheet import Row, Tile, grid
from faceinv.report.overlays import Measured
from faceinv.report.page import render
from faceinv.report.runs import read_runs

pytest.importorskip("matplotlib", reason="figures need the extra 'figures'")


def nothing(files, generator, probes) -> Measured:
    return Measured({}, {})


def means(files, generator, probes) -> Measured:
    """Measure the mean colour of pictures, whatever is asked for."""
    colours = np.stack([np.asarray(Image.open(file), np.float32).mean((0, 1)) for file in files])
    return Measured({"histogram": colours}, {})


@pytest.mark.parametrize(("number", "form", "begins"), [("5", "png", b"\x89PNG"), ("6", "pdf", b"%PDF"),
                                                       ("8", "svg", b"<?xml"), ("9", "svg", b"<?xml")])  # fmt: skip
def test_every_figure_of_a_run_has_a_caption_with_n(
    run, full_run: Path, tmp_path: Path, number: str, form: str, begins: bytes
) -> None:
    contents = []
    for _ in range(2):
        out = tmp_path / f"x.{form}"
        result = run("export", full_run, "--figure", number, "--out", out)
        assert result.code == 0, result.err
        contents.append(out.read_bytes())
    assert contents[0].startswith(begins)
    assert contents[0] == contents[1]
    assert f"Figure {number}." in result.err
    assert "6 photographs (folder); objective balanced" in result.err
    assert "The paper used VGGFace2's encoder, StyleGAN2" in result.err


def test_pictures_keep_their_proportions() -> None:
    wide = Tile(Image.new("RGB", (40, 20), "red"))
    figure = grid([Row("x", [wide])], "A caption.")
    (axes,) = figure.axes
    box = axes.get_window_extent()
    assert box.width / box.height == pytest.approx(2)


def test_figures_5_and_6_show_the_files_of_the_run(full_run: Path) -> None:
    (drawing,) = draw(read_runs([full_run]), 5, nothing)
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.figure.axes]
    files = [np.asarray(Image.open(file)) for file in (full_run / "cells" / f"{0:016x}").glob("*.png")]
    assert len(shown) == 18
    assert all(any(np.array_equal(image, file) for file in files) for image in shown)
    (drawing,) = draw(read_runs([full_run]), 6, nothing)
    assert len(drawing.figure.axes) == 4 * 4


def identities(folder: Path, people: list[str]) -> None:
    """Say whose photographs the targets of a run are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in (folder / "cells").glob("*.parquet"):
        pq.write_table(pq.read_table(path).append_column("identity", pa.array(people)), path)
        record = path.with_suffix(".json")
        content = json.loads(record.read_text())
        content.pop("digests", None)
        content.pop("checksum", None)
        record.write_text(json.dumps(content))


def test_figure_7_measures_what_it_claims(full_run: Path) -> None:
    identities(full_run, ["a", "b", "a", "b", "c", "c"])
    # Each reconstruction gets the colours of its own photograph, except those of "c", which get the other one's.
    for index, own in enumerate((0, 1, 2, 3, 5, 4)):
        for cell in (full_run / "cells").glob("*/"):
            target = Image.open(cell / f"{own:05d}-target.png")
            target.save(cell / f"{index:05d}.png")
    (study,) = read_runs([full_run]).studies
    (found,) = same_person.nearer(study, means)
    assert found.attribute == "colours"
    assert [share.mean for share in found.shares] == pytest.approx([2 / 3] * 3)
    assert [share.mean for share in found.repeated] == pytest.approx([2 / 3] * 3)
    assert found.shares[0].n == 3
    (drawing,) = draw(read_runs([full_run]), 7, means)
    assert "colours 67 [0, 100] %" in drawing.caption
    assert "3 of 3 people" in drawing.caption
    table = same_person.table(study, [found], "x", study.labels)
    assert table.lines[0].cells[-1].text == "50"
    page = render(read_runs([full_run]), measure=means)
    assert "another of the same person?" in page
    assert "67 [0, 100]" in page


def test_shares_of_the_same_person_by_hand() -> None:
    originals = np.array([[0.0], [1.0], [5.0], [6.0], [7.0]], np.float32)
    results = np.array([[0.4], [0.4], [5.0], [6.5], [7.0]], np.float32)
    found = same_person.shares(originals, results, {"a": [0, 1], "b": [2, 3, 4]})
    # "a": right and wrong. "b": four right, and of 6.5 one tie with 7 and one right.
    assert found == pytest.approx([1 / 2, 5.5 / 6])


def test_differences_do_not_depend_on_what_all_reconstructions_share() -> None:
    originals = np.array([[0.0], [1.0], [5.0], [6.0], [7.0]], np.float32)
    results = np.array([[9.0], [9.1], [9.0], [9.0], [8.0]], np.float32)
    people = {"a": [0, 1], "b": [2, 3, 4]}
    # Every reconstruction of "a" is nearer to the second photograph, yet they differ as the photographs do.
    assert same_person.shares(originals, results, people)[0] == 0.5
    # "b": one tie, and two pairs the other way.
    assert same_person.repeated_differences(originals, results, people) == pytest.approx([1, 1 / 6])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--figure", "4"), "Invalid value for '--figure'"),
        (("--figure", "5", "--out", "x.gif"), "A figure is a .png, .pdf, .svg file, and --out is 'x.gif'."),
        (("--figure", "5", "--format", "csv"), "one of both"),
        (("--figure", "5", "--table", "scores"), "a figure has none"),
        (("--figure", "2"), "read by 'faceinv probe --figures'"),
        (("--figure", "7"), "--per-person 2 --min-photographs 2"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(run, full_run: Path, arguments: tuple[str, ...], message: str) -> None:
    result = run("export", full_run, *arguments)
    assert result.code in (2, 3)
    assert message in result.err
    assert "Traceback" not in result.err


def test_losses_that_a_figure_needs_are_named(run, write_run: Callable[..., Path], tmp_path: Path) -> None:
    folder = write_run(tmp_path / "one", ("id,lm,hist",))
    for number in ("5", "6", "8"):
        result = run("export", folder, "--figure", number)
        assert result.code == 3
        assert "--losses id,lm,hist --ablate" in result.err
