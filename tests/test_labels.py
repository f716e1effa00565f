"""Labels files: read, or refused with file, line and column; matched to images; split by person."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from faceinv.data import check_disjoint, has_images, hashed_splits, match_images, read_labels
from faceinv.errors import InputError


def table(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_attributes_people_and_parts(tmp_path: Path) -> None:
    text = "image,identity,split,smiling,age\na.png,Ada,train,1,33.5\nb.png,,test,0,\n"
    labels = read_labels(table(tmp_path / "l.csv", text))
    assert labels.images == ("a.png", "b.png")
    assert labels.identities == ("Ada", "")
    assert labels.splits == ("train", "test")
    assert list(labels.annotations) == ["smiling", "age"]
    assert labels.annotations["smiling"].tolist() == [1, 0]
    assert labels.annotations["age"][0] == 33.5
    assert labels.annotations["age"].isnan().tolist() == [False, True]


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffimage,hat\r\na.png,1\r\n",
        "image;hat\na.png;1\n",
        "image\that\n\na.png\t1\n\n",
        ' image , hat \n"a.png", 1 \n',
        "image,hat\n./a.png,1\n",
    ],
    ids=["byte order mark", "semicolons", "tabs and empty lines", "blanks", "dot"],
)
def test_spreadsheets_write_csv_in_many_ways(tmp_path: Path, text: str) -> None:
    labels = read_labels(table(tmp_path / "l.csv", text))
    assert labels.images == ("a.png",)
    assert labels.annotations["hat"].tolist() == [1]


def test_minus_one_is_no_only_where_all_is_minus_one_or_one(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path / "l.csv", "image,hat,yaw\na,-1,-1\nb,1,0.5\nc,nan,1\n"))
    assert labels.annotations["hat"][:2].tolist() == [0, 1]
    assert labels.annotations["yaw"].tolist() == [-1, 0.5, 1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"l\.csv:1: no column 'image'\. The header has nothing"),
        ("imgae,hat\na,1\n", r"l\.csv:1: no column 'image'\. Did you mean 'imgae'\? The header has imgae, hat"),
        ("image,hat,hat\na,1,1\n", r"l\.csv:1: the column 'hat' appears twice"),
        ("image,,hat\na,1,1\n", r"l\.csv:1: column 2 has no name"),
        ("image,hat\n", r"l\.csv: no rows below the header"),
        ("image,hat\na,1\nb\n", r"l\.csv:3: 1 cells, but the header has 2"),
        ("image,hat\na,1\n,1\n", r"l\.csv:3: the cell 'image' is empty"),
        ("image,hat\na,1\n\na,0\n", r"l\.csv:4: 'a' is already named in line 2"),
        ("image,hat\na,yes\n", r"l\.csv:2: hat is 'yes'; an attribute must be a number"),
        ("image,hat\na,inf\n", r"l\.csv:2: hat is 'inf'"),
        ("image,split\na,trian\n", r"l\.csv:2: split 'trian'\. Did you mean 'train'\? Allowed: train, val, test"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_column(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_labels(table(tmp_path / "l.csv", text))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"image,hat\ncaf\xe9.png,1\n")
    for path, message in [
        (tmp_path / "none.csv", "does not exist"),
        (tmp_path, "cannot be read"),
        (tmp_path / "latin.csv", "not UTF-8"),
    ]:
        with pytest.raises(InputError, match=message):
            read_labels(path)
    assert not has_images(tmp_path / "latin.csv")
    assert not has_images(tmp_path / "none.csv")
    assert has_images(table(tmp_path / "l.csv", "image;hat\n"))
    assert not has_images(table(tmp_path / "l.csv", "name,images\n"))


names = st.text(st.characters(codec="utf-8", exclude_characters="\\\r\n\0", exclude_categories=["Z", "C"]), min_size=1)
values = st.none() | st.floats(-1e6, 1e6, width=32)


@given(
    st.lists(names.filter(lambda name: not name.startswith("./")), min_size=1, max_size=6, unique=True),
    st.sampled_from(",;\t"),
    st.data(),
)
def test_what_is_written_is_read(tmp_path_factory, images: list[str], separator: str, data: st.DataObject) -> None:
    column = data.draw(st.lists(values, min_size=len(images), max_size=len(images)))
    sink = io.StringIO()
    writer = csv.writer(sink, delimiter=separator)
    writer.writerow(["image", "attribute"])
    writer.writerows([name, "" if value is None else repr(value)] for name, value in zip(images, column, strict=True))
    path = tmp_path_factory.mktemp("labels") / "l.csv"
    path.write_text(sink.getvalue(), encoding="utf-8", newline="")
    labels = read_labels(path)
    assert labels.images == tuple(images)
    known = [value for value in column if value is not None]
    if set(known) == {-1.0, 1.0}:
        column = [None if value is None else (value + 1) / 2 for value in column]
    for value, read in zip(column, labels.annotations["attribute"].tolist(), strict=True):
        assert math.isnan(read) if value is None else read == value


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_is_read_or_refused_in_one_line(tmp_path_factory, text: str) -> None:
    path = tmp_path_factory.mktemp("labels") / "l.csv"
    path.write_text(f"image,hat\n{text}", encoding="utf-8", newline="")
    try:
        labels = read_labels(path)
    except InputError as error:
        refusal = str(error)
        assert refusal.startswith(str(path))
        return
    assert len(labels.annotations["hat"]) == len(labels.images) > 0


def test_images_are_matched_by_path_or_by_a_unique_name(tmp_path: Path) -> None:
    labels = read_labels(table(tmp_path / "l.csv", "image,hat\nAda/1.png,1\n2.png,0\n3.png,1\ngone.png,1\n"))
    match = match_images(labels, ["Ada/1.png", "Ada/2.png", "Ada/3.png", "Bo/3.png", "Bo/4.png"])
    assert match.rows == (0, 1, -1, -1, -1)
    assert match.unmatched == (2, 3)
    taken = match.take(labels.annotations["hat"])
    assert taken[:2].tolist() == [1, 0]
    assert taken[2:].isnan().all()


@given(st.lists(st.text(max_size=4), max_size=30), st.lists(st.text(max_size=4), max_size=30))
def test_nobody_moves_when_others_come(people: list[str], others: list[str]) -> None:
    parts = dict(zip(people, hashed_splits(people), strict=True))
    later = hashed_splits([*others, *people])
    assert later[len(others) :] == tuple(parts[person] for person in people)
    check_disjoint(later, [*others, *people], "all")


def test_parts_have_their_shares() -> None:
    counts = Counter(hashed_splits(f"person {k}" for k in range(4000)))
    assert counts["train"] / 4000 == pytest.approx(0.7, abs=0.03)
    assert counts["val"] / 4000 == pytest.approx(0.1, abs=0.02)
    assert counts["test"] / 4000 == pytest.approx(0.2, abs=0.03)


def test_a_person_in_two_parts_is_refused() -> None:
    check_disjoint(["train", "test"], None, "file")
    with pytest.raises(InputError, match=r"file: 'Ada' is in 'train' and in 'test'"):
        check_disjoint(["train", "val", "test"], ["Ada", "Bo", "Ada"], "file")
