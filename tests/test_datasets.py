"""Names of data sets, and the options and labels they take."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml

from faceinv.bench.config import load_config
from faceinv.bench.grid import cells
from faceinv.contracts import Dataset, DatasetContext, DatasetSpec, Framing
from faceinv.data import open_dataset, write_image
from faceinv.data.alignment import needs_detector
from faceinv.data.targets import Selection, choose_targets
from faceinv.errors import InputError, PluginError, UsageError
from faceinv.plugins import Host
from faceinv.testing import toy


def labelled(path: Path) -> DatasetContext:
    return DatasetContext(None, None, "", 0, None, path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("Ada/1.png", "Bo/1.png"):
        (tmp_path / "images" / name).parent.mkdir(parents=True)
        write_image(torch.full((3, 8, 8), 0.5), tmp_path / "images" / name)
    (tmp_path / "labels.csv").write_text("image,hat\nAda/1.png,1\nBo/1.png,0\n")
    return tmp_path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("foldre:x", r"Unknown dataset 'foldre'\. Did you mean 'folder'\?"),
        ("folder", r"'folder' needs a path: folder:PATH"),
        ("folder:", r"'folder:' needs a path: folder:PATH"),
        ("lfw", r"'lfw' needs a path: lfw:PATH"),
        ("synthetic:x", r"'synthetic' takes no path, got 'synthetic:x'"),
        ("synthetic", r"--generator"),
    ],
)
def test_what_is_wrong_with_a_name(host: Host, given: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_dataset(host, given)


def test_labels_reach_a_data_set_that_takes_them(host: Host, folder: Path) -> None:
    dataset, spec = open_dataset(host, f"folder:{folder / 'images'}", labelled(folder / "labels.csv"))
    assert spec.name == "folder"
    assert dataset.annotations["hat"].tolist() == [1, 0]
    with pytest.raises(UsageError, match=r"'celeba\.official' takes no --labels\. Data sets that do: .*folder.*lfw"):
        open_dataset(host, f"celeba:{folder}", labelled(folder / "labels.csv"))


def test_options_are_those_of_the_factory(host: Host, folder: Path) -> None:
    with pytest.raises(UsageError, match=r"'folder' has no option 'split'\. It has no options\."):
        open_dataset(host, f"folder:{folder}", options={"split": "mine"})
    with pytest.raises(UsageError, match=r"no option 'cuont'\. Did you mean 'count'\? Allowed: count"):
        open_dataset(host, "synthetic", options={"cuont": 3})


def grid(host: Host, **given: object) -> list:
    config, source = load_config(None, given)
    return cells(config, host, source)


def test_a_cell_has_the_options_and_labels_of_its_own_data_set(host: Host) -> None:
    both = grid(
        host,
        dataset=["synthetic", "folder:images"],
        labels="labels.csv",
        dataset_options={"synthetic": {"count": 3}},
    )
    assert [(cell.dataset, cell.dataset_options, cell.labels) for cell in both] == [
        ("synthetic", {"count": 3}, ""),
        ("folder:images", {}, "labels.csv"),
    ]
    assert grid(host, dataset="celeba.paper:x")[0].dataset == "celeba.paper:x"
    assert grid(host, dataset="celeba:x")[0].dataset == "celeba.official:x"
    with pytest.raises(UsageError, match=r"labels: none of the data sets takes labels\. Those that do: folder, lfw"):
        grid(host, labels="labels.csv")
    with pytest.raises(UsageError, match=r"dataset_options: Unknown dataset 'synthetik'"):
        grid(host, dataset_options={"synthetik": {}})


class Rough(Dataset):
    """Images in an approximate framing."""

    ids = ("a",)
    framing = toy.FRAMING
    framing_is_approximate = True

    def load(self, index: int) -> torch.Tensor:
        return torch.zeros(3, 16, 16)


def test_an_approximate_framing_is_not_for_targets() -> None:
    dataset = Rough()
    assert needs_detector(dataset)
    kept: list[torch.Tensor] = []
    with pytest.raises(UsageError, match="no detector"):
        choose_targets(dataset, toy.FRAMING, Selection(limit=1), kept.append, real=True)
    dataset.framing_is_approximate = False
    assert not needs_detector(dataset)
    own = Framing("own", (8, 8), toy.FRAMING.points)
    targets = choose_targets(dataset, own, Selection(limit=1), kept.append, real=True)
    assert (targets.aligned, len(kept)) == ("toy", 1)


def test_a_path_that_cannot_be_a_folder_is_an_input_error(host: Host) -> None:
    for path in ("a" * 5000, "a\0b"):
        with pytest.raises(InputError, match=r"cannot be opened: File name too long|does not exist"):
            open_dataset(host, f"folder:{path}")


def test_what_is_no_data_set_is_the_plugins_fault(host: Host) -> None:
    host.declare(DatasetSpec(name="odd", summary="A list", target="unittest.mock:MagicMock", licence="MIT"), "odd 1.0")
    with pytest.raises(PluginError, match=r"'odd' of odd 1\.0 opens as a MagicMock, not a faceinv\.contracts\.Dataset"):
        open_dataset(host, "odd")


def test_the_command_line_sets_labels(run, cache: Path) -> None:
    printed = run("config", "--dataset", "folder:images", "--labels", "labels.csv")
    assert printed.code == 0, printed.err
    assert yaml.safe_load(printed.out)["labels"] == "labels.csv"
    assert run("config", "--labels", "labels.csv").code == 2


def test_what_a_data_set_leaves_out_is_said(run, cache: Path, folder: Path) -> None:
    (folder / "labels.csv").write_text("image,hat\nAda/1.png,1\ngone.png,0\n")
    result = run(
        "bench", "--encoder", "toy", "--critic", "toy.critic", "--generator", "toy-faces", "--losses", "id",
        "--dataset", f"folder:{folder / 'images'}", "--labels", folder / "labels.csv", "--steps", "1",
        "--pairs", "200", "--metric", "mse", "--out", folder / "run",
    )  # fmt: skip
    assert "2 images skipped, the first being 'gone.png': " in result.err
    assert "labels.csv lists it, but there is no such image" in result.err
    # The remaining image is a grey square without a face.
    assert result.code == 3
    assert "None of the 1 images can be used" in result.err
