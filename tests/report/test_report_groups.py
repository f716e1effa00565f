"""``faceinv report --groups``: tables by groups of people, from records alone."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TARGETS = [f"p{k:03d}.jpg" for k in range(90)]


def _labels(path: Path, sex: dict[str, str], images: list[str] = TARGETS) -> Path:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["image", "sex"])
        rows.writerows([image, sex.get(image, "")] for image in images)
    return path


@pytest.fixture
def labelled(tmp_path: Path, write_run: Callable[..., Path]) -> tuple[Path, Path]:
    """A run of 90 targets, and a labels file with 40 women, 35 men, 5 others and 10 unknown."""
    sex = {image: "woman" if k < 40 else "man" if k < 75 else "other" for k, image in enumerate(TARGETS[:80])}
    run = write_run(tmp_path / "run", ("id",), targets=TARGETS, pictures=False)
    return run, _labels(tmp_path / "people.csv", sex)


def test_a_table_by_groups(labelled: tuple[Path, Path], run: Any) -> None:
    folder, labels = labelled
    result = run("report", folder, "--groups", "sex", "--group-labels", labels)
    assert result.code == 0, result.err
    assert "By sex" in result.out
    assert "man" in result.out
    assert "woman − man" in result.out
    assert "10 targets without a known value are left out" in result.out
    assert "smaller than 30: other (5)" in result.out
    assert "unbalanced: 40 in 'woman' and 5 in 'other'" in result.out
    page = (folder / "report.html").read_text()
    assert "For whom is it worse?" in page
    assert "woman − man" in page


def test_no_group_is_large_enough(tmp_path: Path, write_run: Callable[..., Path], run: Any) -> None:
    folder = write_run(tmp_path / "run", ("id",), pictures=False)
    names = [f"person {index}/<b>&photo_{index}.jpg" for index in range(6)]
    labels = _labels(tmp_path / "few.csv", dict.fromkeys(names, "a"), names)
    result = run("report", folder, "--groups", "sex", "--group-labels", labels)
    assert result.code == 0, result.err
    assert "No group has 30 items" in result.out


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--groups", "sez"), 2, "Did you mean 'sex'?"),
        (("--groups", "sex,,age"), 2, "has an empty name"),
        (("--groups", "predicted:mael"), 2, "mael"),
        (("--groups", "predicted:landmarks"), 3, "lacks 90 of 90 pictures"),
    ],
)
def test_mistakes(labelled: tuple[Path, Path], run: Any, options: tuple[str, ...], code: int, told: str) -> None:
    folder, labels = labelled
    result = run("report", folder, *options, "--group-labels", labels)
    assert (result.code, told in result.err) == (code, True), result.err


def test_labels_of_other_images_and_labels_without_groups(
    labelled: tuple[Path, Path], run: Any, tmp_path: Path
) -> None:
    folder, labels = labelled
    other = _labels(tmp_path / "other.csv", {}, ["somebody.jpg"])
    result = run("report", folder, "--groups", "sex", "--group-labels", other)
    assert result.code == 3
    assert "no value for any of the 90 images" in result.err
    result = run("report", folder, "--group-labels", labels)
    assert result.code == 2
    assert "--group-labels needs --groups" in result.err
