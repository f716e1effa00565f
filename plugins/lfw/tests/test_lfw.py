"""LFW's layouts, lists, splits and annotations, on a small generated LFW, and on the real one if available."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
import torch
from faceinv_lfw.dataset import CLEAN_BOX, LFW
from faceinv_lfw.lists import Pair, Person, read_pairs, read_people
from hypothesis import given, strategies as st

from faceinv.bank.frame import clean_part
from faceinv.contracts import DatasetContext
from faceinv.data import open_dataset, write_image
from faceinv.errors import InputError, UsageError
from faceinv.plugins import Host

PEOPLE = {"Ada_Lovelace": 2, "Bo": 1, "Cy_Twombly": 3, "Di": 1, "Eve-Marie_X": 2}


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    return make(tmp_path, "lfw-deepfunneled")


def make(root: Path, folder: str) -> Path:
    for name, count in PEOPLE.items():
        (root / folder / name).mkdir(parents=True)
        for k in range(count):
            write_image(torch.full((3, 250, 250), 0.5), root / folder / name / f"{name}_{k + 1:04d}.jpg")
    return root


def labelled(path: Path) -> DatasetContext:
    return DatasetContext(None, None, "", 0, None, path)


def write_list(path: Path, people: dict[str, int]) -> None:
    path.write_text(f"{len(people)}\n" + "".join(f"{name}\t{count}\n" for name, count in people.items()))


def test_ids_and_people_are_the_names(lfw: Path) -> None:
    (lfw / "lfw-deepfunneled" / "Bo" / "Thumbs.db").write_bytes(b"")
    dataset = LFW(lfw)
    assert dataset.ids[:3] == (
        "Ada_Lovelace/Ada_Lovelace_0001.jpg", "Ada_Lovelace/Ada_Lovelace_0002.jpg", "Bo/Bo_0001.jpg",
    )  # fmt: skip
    assert Counter(dataset.identities) == PEOPLE
    assert dataset.load(0).shape == (3, 250, 250)
    assert LFW(lfw / "lfw-deepfunneled").ids == dataset.ids


@pytest.mark.parametrize(
    ("name", "folder", "declares"),
    [
        ("lfw", "lfw-deepfunneled", True),
        ("lfw.deepfunneled", "lfw_deepfunneled", True),
        ("lfw.funneled", "lfw_funneled", False),
        ("lfw.original", "lfw", False),
    ],
)
def test_every_official_layout(tmp_path: Path, name: str, folder: str, declares: bool) -> None:
    dataset, spec = open_dataset(Host(), f"{name}:{make(tmp_path, folder)}")
    assert len(dataset.ids) == sum(PEOPLE.values())
    assert (dataset.framing is not None) == declares
    assert spec.name == (name if "." in name else "lfw.deepfunneled")


def test_the_clean_box_is_150_pixels_in_the_middle(lfw: Path) -> None:
    dataset = LFW(lfw)
    assert dataset.framing is not None
    part = clean_part(dataset, dataset.framing)
    assert (part.rows, part.columns, part.framing.size) == (slice(50, 200), slice(50, 200), (150, 150))
    assert CLEAN_BOX == (0.2, 0.2, 0.8, 0.8)
    assert dataset.framing_is_approximate


def test_view_1_parts_people(lfw: Path) -> None:
    write_list(lfw / "peopleDevTrain.txt", {"Ada_Lovelace": 2, "Bo": 1, "Di": 1, "Eve-Marie_X": 2})
    write_list(lfw / "peopleDevTest.txt", {"Cy_Twombly": 4})
    dataset = LFW(lfw)
    assert dataset.splits is not None
    tested = {person for person, part in zip(dataset.identities, dataset.splits, strict=True) if part == "test"}
    assert tested == {"Cy_Twombly"}
    assert dataset.skipped == (
        ("Cy_Twombly/Cy_Twombly_0004.jpg", "peopleDevTest.txt lists it, but there is no such image."),
    )


def test_one_list_alone_parts_nobody(lfw: Path) -> None:
    without = LFW(lfw).splits
    write_list(lfw / "peopleDevTrain.txt", PEOPLE)
    assert LFW(lfw).splits == without
    # The same holds for a list of test people who are not in the folder.
    write_list(lfw / "peopleDevTest.txt", {"Someone": 1})
    assert LFW(lfw).splits == without


def test_every_csv_with_images_annotates(lfw: Path, tmp_path: Path) -> None:
    (lfw / "smiling.csv").write_text("image,smiling\nBo/Bo_0001.jpg,1\nDi_0001.jpg,0\nNo/No_0001.jpg,1\n")
    (lfw / "names.csv").write_text("name,images\nBo,1\n")
    own = tmp_path / "own" / "age.csv"
    own.parent.mkdir()
    own.write_text("image,age\nBo_0001.jpg,33\n")
    dataset = LFW(lfw, context=labelled(own))
    assert list(dataset.annotations) == ["smiling", "age"]
    smiling = dict(zip(dataset.ids, dataset.annotations["smiling"].tolist(), strict=True))
    assert smiling["Bo/Bo_0001.jpg"] == 1
    assert smiling["Di/Di_0001.jpg"] == 0
    assert int(dataset.annotations["smiling"].isnan().sum()) == len(dataset.ids) - 2
    assert [name for name, _ in dataset.skipped] == ["No/No_0001.jpg"]
    # A file that is also passed as labels counts once.
    assert list(LFW(lfw, context=labelled(lfw / "smiling.csv")).annotations) == ["smiling"]
    own.write_text("image,smiling\nBo_0001.jpg,1\n")
    with pytest.raises(InputError, match=r"age\.csv: the column 'smiling' is also in .*smiling\.csv"):
        LFW(lfw, context=labelled(own))
    own.write_text("image,split\nBo_0001.jpg,test\n")
    with pytest.raises(InputError, match="LFW is split by View 1's lists"):
        LFW(lfw, context=labelled(own))


def test_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lfw:PATH"):
        LFW(None)
    with pytest.raises(InputError, match="does not exist"):
        LFW(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no folder 'lfw-deepfunneled'"):
        LFW(tmp_path)
    with pytest.raises(InputError, match=r"It has the funneled photographs: lfw\.funneled:"):
        LFW(make(tmp_path, "lfw_funneled"))
    with pytest.raises(UsageError, match="Allowed: deepfunneled, funneled, original"):
        LFW(tmp_path, alignment="frontal")
    (tmp_path / "lfw").mkdir()
    with pytest.raises(InputError, match=r"holds no photographs; expected files such as Name/Name_0001\.jpg"):
        LFW(tmp_path, alignment="original")


def test_the_fingerprint_follows_the_photographs(lfw: Path) -> None:
    before = LFW(lfw).fingerprint()
    (lfw / "smiling.csv").write_text("image,smiling\nBo/Bo_0001.jpg,1\n")
    assert LFW(lfw).fingerprint() == before
    write_image(torch.rand(3, 250, 250), lfw / "lfw-deepfunneled" / "Bo" / "Bo_0001.jpg")
    assert LFW(lfw).fingerprint() != before


# Lists

person = st.builds(Person, st.text("abcXYZ_-'.é", min_size=1, max_size=12), st.integers(0, 999))
folds = st.lists(st.lists(person, min_size=1, max_size=4), min_size=2, max_size=4)


@given(folds)
def test_people_of_both_views_are_read(tmp_path_factory: pytest.TempPathFactory, written: list[list[Person]]) -> None:
    folder = tmp_path_factory.mktemp("lists")

    def lines(fold: list[Person]) -> str:
        return f"{len(fold)}\n" + "".join(f"{p.name}\t{p.photographs}\n" for p in fold)

    (folder / "people.txt").write_text(f"{len(written)}\n" + "".join(map(lines, written)), encoding="utf-8")
    assert read_people(folder / "people.txt") == written
    (folder / "peopleDevTrain.txt").write_text(lines(written[0]), encoding="utf-8")
    assert read_people(folder / "peopleDevTrain.txt") == [written[0]]


@given(st.integers(1, 3), st.integers(1, 3), st.integers(1, 9999))
def test_pairs_of_both_views_are_read(
    tmp_path_factory: pytest.TempPathFactory, folds: int, length: int, number: int
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    fold = f"A_B\t1\t{number}\n" * length + f"A_B\t2\tC\t{number}\n" * length
    (folder / "pairs.txt").write_text(f"{folds}\t{length}\n" + fold * folds)
    same = Pair("A_B/A_B_0001.jpg", f"A_B/A_B_{number:04d}.jpg", True)
    other = Pair("A_B/A_B_0002.jpg", f"C/C_{number:04d}.jpg", False)
    assert read_pairs(folder / "pairs.txt") == [[same] * length + [other] * length] * folds
    (folder / "pairsDevTest.txt").write_text(f"{length}\n{fold}")
    assert read_pairs(folder / "pairsDevTest.txt") == [[same] * length + [other] * length]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "ends after 0 lines, expected a number"),
        ("two\nA\t1\n", "l.txt:1: 'two' is not a number"),
        ("2\nA\t1\n", "ends after 2 lines"),
        ("1\nA\tx\n", "l.txt:2: 'x' is not a number"),
        ("1\nA\t1\nB\t1\n", "l.txt:3: more lines than the file announces"),
        ("1\nA\t1\t2\n", "l.txt:2: expected a name and a number of photographs, got 'A 1 2'"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "l.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        read_people(tmp_path / "l.txt")


@given(st.text(st.sampled_from("12A\t\n é"), max_size=40))
def test_any_list_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("lists") / "l.txt"
    path.write_text(text, encoding="utf-8")
    for read in (read_people, read_pairs):
        try:
            read(path)
        except InputError as error:
            refusal = str(error)
            assert "\n" not in refusal


def real_lfw() -> Path:
    return Path(os.environ.get("FACEINV_LFW", Path(__file__).parents[4] / "shared" / "data" / "lfw"))


@pytest.mark.skipif(not real_lfw().is_dir(), reason="LFW is not here; FACEINV_LFW names its folder")
def test_the_real_lfw() -> None:
    dataset = LFW(real_lfw())
    assert dataset.identities is not None
    assert dataset.splits is not None
    people: dict[str, set[str]] = {}
    for person, part in zip(dataset.identities, dataset.splits, strict=True):
        people.setdefault(part, set()).add(person)
    assert not people["train"] & people["test"]
    pairs = [pair for fold in read_pairs(real_lfw() / "pairsDevTrain.txt") for pair in fold]
    assert len(pairs) == 2200
    assert {pair.first for pair in pairs} | {pair.second for pair in pairs} <= set(dataset.ids)
    # Deep funneling leaves black at the edge of the frame, but hardly any at that of the clean box.
    assert dataset.framing is not None
    part = clean_part(dataset, dataset.framing)
    images = torch.stack([dataset.load(index) for index in range(0, len(dataset.ids), len(dataset.ids) // 60)])
    assert black_edge(images) > 0.25
    assert black_edge(part.cut(images)) < 0.1


def black_edge(images: torch.Tensor) -> float:
    """Return the share of black pixels among those at the edges."""
    edge = torch.cat([images[..., 0, :], images[..., -1, :], images[..., 0], images[..., -1]], 2)
    return float((edge.amax(1) < 4 / 255).float().mean())
