"""MoFA-Test: used only as a whole, with identities from a CSV file or the file names."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from faceinv_photographs.mofa_test import MofaTest

from faceinv.contracts import DatasetContext, Faces, Framing
from faceinv.data import write_image
from faceinv.data.targets import Selection, choose_targets
from faceinv.errors import InputError, UsageError

FRAMING = Framing("frame", (8, 8), ((0.3, 0.4), (0.7, 0.4), (0.5, 0.6), (0.35, 0.8), (0.65, 0.8)))


def copy(folder: Path, names: list[str]) -> Path:
    for name in names:
        folder.mkdir(parents=True, exist_ok=True)
        write_image(torch.full((3, 12, 12), 0.5), folder / name)
    return folder


def numbered() -> list[str]:
    """84 files of 78 people: six have two photographs."""
    return [f"Person {person:02d}_{k}.png" for person in range(78) for k in range(2 if person < 6 else 1)]


def context(limit: int | None) -> DatasetContext:
    return DatasetContext(None, FRAMING, "z", 0, limit)


def test_file_names_say_who_is_who(tmp_path: Path) -> None:
    dataset = MofaTest(copy(tmp_path / "mofa", numbered()), context=context(84))
    assert len(dataset.ids) == 84
    assert dataset.identities is not None
    assert len(set(dataset.identities)) == 78
    assert dataset.identities[:3] == ("Person 00", "Person 00", "Person 01")
    assert dataset.whole


def test_a_csv_file_says_it_where_names_do_not(tmp_path: Path) -> None:
    folder = copy(tmp_path / "mofa", [f"{index:03d}.png" for index in range(84)])
    with pytest.raises(InputError, match=r"84 images of 84 people; MoFA-Test is 84 of 78.*'file' and 'identity'"):
        MofaTest(folder)
    rows = [f"{index:03d}.png,{index % 78}" for index in range(84)]
    (folder / "who.csv").write_text("\n".join(["file,identity", *rows]))
    dataset = MofaTest(folder)
    assert dataset.identities is not None
    assert dataset.identities[:2] == ("0", "1")
    assert dataset.identities[78:80] == ("0", "1")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,who\n", r"who\.csv:1: expected the columns 'file' and 'identity'"),
        ("file,identity\n000.png,\n", r"who\.csv:2: an empty file or identity"),
        ("file,identity\n000.png,a\n000.png,b\n", r"who\.csv:3: '000\.png' has two identities"),
        ("file,identity\n00.png,a\n", r"no identity for '000\.png'\. Did you mean '00\.png'"),
    ],
)
def test_says_what_is_wrong_with_the_csv_file(tmp_path: Path, text: str, message: str) -> None:
    folder = copy(tmp_path / "mofa", [f"{index:03d}.png" for index in range(84)])
    (folder / "who.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        MofaTest(folder)


def test_a_part_does_not_go_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds 83 images of 77 people; MoFA-Test is 84 of 78.*folder:"):
        MofaTest(copy(tmp_path / "less", numbered()[:83]))
    folder = copy(tmp_path / "mofa", numbered())
    with pytest.raises(UsageError, match=r"--limit 32 would take a part: use --limit 84"):
        MofaTest(folder, context=context(32))
    (folder / "Person 20_0.png").write_bytes(b"no picture")

    def detect(image: torch.Tensor) -> Faces:
        points = torch.tensor(FRAMING.points)[None] * 12
        return Faces(torch.zeros(1, 4), points, torch.ones(1))

    def choose(dataset: MofaTest, per_person: int = 0) -> int:
        kept: list[torch.Tensor] = []
        selection = Selection(limit=84, per_person=per_person)
        choose_targets(dataset, FRAMING, selection, kept.append, real=True, detector=detect)
        return len(kept)

    dataset = MofaTest(folder, context=context(84))
    with pytest.raises(InputError, match=r"83 of 84 images would be used.*'Person 20_0\.png'.*folder:PATH"):
        choose(dataset)
    copy(folder, ["Person 20_0.png"])
    with pytest.raises(InputError, match="78 of 84 images would be used"):
        choose(dataset, per_person=1)
    assert choose(dataset) == 84


def test_needs_a_path() -> None:
    with pytest.raises(UsageError, match="mofa-test:PATH"):
        MofaTest(None)
