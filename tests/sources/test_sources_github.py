"""Files of a repository at a commit, with a local server in place of GitHub's."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings, strategies as st

from faceinv.data import open_dataset, read_image
from faceinv.errors import HashMismatchError, WeightsError
from faceinv.plugins import Host
from faceinv.weights import WeightStore
from faceinv.weights.sources import fetch_github
from faceinv.weights.sources.archive import repack

Pack = Callable[[str, dict[str, bytes]], bytes]

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PORTRAITS = Path(__file__).parents[3] / "shared/data/portraits"


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def github(site: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("FACEINV_GITHUB", site.url)
    files = {f"faces-{COMMIT}/a/1.jpg": b"one", f"faces-{COMMIT}/b/2.jpg": b"two", f"faces-{COMMIT}/README": b"no"}
    site.files[f"/some/faces/tar.gz/{COMMIT}"] = pack("x.tar.gz", files)
    return site


def test_a_broken_download_is_resumed_and_the_archive_removed(github: Any, tmp_path: Path) -> None:
    github.headers["ETag"] = '"1"'
    github.breaks.append(40)
    fetch_github(f"some/faces@{COMMIT}/a/*.jpg,b/*", tmp_path / "faces.zip", silent)
    assert [asked for _, asked, _ in github.asked] == ["", "bytes=40-"]
    assert [path.name for path in tmp_path.iterdir()] == ["faces.zip"]
    same = tmp_path / "again.zip"
    fetch_github(f"some/faces@{COMMIT}/b/*,a/1.jpg", same, silent)
    assert same.read_bytes() == (tmp_path / "faces.zip").read_bytes()


@pytest.mark.parametrize(
    ("location", "message"),
    [
        (f"some/faces@{COMMIT}/c/*", "no file c/\\* in some/faces at 0123456"),
        (f"some/others@{COMMIT}/a/*", "404"),
        ("some/faces@main/a/*", "40 digits"),
    ],
)
def test_what_is_not_there_is_named(github: Any, tmp_path: Path, location: str, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        fetch_github(location, tmp_path / "faces.zip", silent)
    assert list(tmp_path.iterdir()) == []


def test_links_large_files_and_broken_archives_are_refused(tmp_path: Path, pack: Pack) -> None:
    archive = tmp_path / "x.tar.gz"
    archive.write_bytes(pack("x.tar.gz", {"top/a": b"12345", "top/b": b"123"}))
    with pytest.raises(WeightsError, match="more than the 7 bytes"):
        repack(archive, "x", lambda name: True, tmp_path / "out", size=7)
    archive.write_bytes(pack("x.tar.gz", {"top/../../a": b"1"}))
    with pytest.raises(WeightsError, match="not a path inside an archive"):
        repack(archive, "x", lambda name: True, tmp_path / "out")
    archive.write_bytes(b"\x1f\x8b broken")
    with pytest.raises(WeightsError, match="is broken"):
        repack(archive, "x", lambda name: True, tmp_path / "out")


@settings(max_examples=20)
@given(st.dictionaries(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4})?", fullmatch=True), st.binary(max_size=20)))
def test_the_bytes_depend_on_names_and_contents_alone(
    tmp_path_factory: pytest.TempPathFactory, pack: Pack, files: Mapping[str, bytes]
) -> None:
    folder = tmp_path_factory.mktemp("repack")
    for number, members in enumerate((files, dict(reversed(files.items())))):
        (folder / "x.tar").write_bytes(pack("x.tar", {f"{number}/{name}": members[name] for name in members}))
        assert repack(folder / "x.tar", "x", lambda name: True, folder / f"{number}.zip") == len(files)
    if files:
        assert (folder / "0.zip").read_bytes() == (folder / "1.zip").read_bytes()


@pytest.mark.skipif(not PORTRAITS.is_dir(), reason=f"{PORTRAITS} is not there")
def test_the_portraits_have_the_pinned_hash(
    site: Any, pack: Pack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FACEINV_GITHUB", site.url)
    host, said = Host(), []
    [spec] = host.weights(["portraits/256"])
    repository, _, rest = spec.sources[0].removeprefix("github:").partition("@")
    commit = rest.partition("/")[0]
    files = {}
    for path in sorted(PORTRAITS.glob("*.jpg")):
        sex, _, number = path.stem.partition("-")
        files[f"portraits-{commit}/{sex}/256/{int(number)}.jpg"] = path.read_bytes()
    site.files[f"/{repository}/tar.gz/{commit}"] = pack("x.tar.gz", files)
    store = WeightStore(host, cache=tmp_path, notify=said.append)
    dataset, _ = open_dataset(host, "portraits", files=lambda spec: [store.path(name) for name in spec.weights])
    assert hashlib.sha256(store.path("portraits/256").read_bytes()).hexdigest() == spec.sha256
    assert "CC0-1.0" in said[0]
    assert len(set(dataset.ids)) == len(set(dataset.identities or ())) == 200
    place = dataset.ids.index("female/02.jpg")
    assert torch.equal(dataset.load(place), read_image(PORTRAITS / "female-002.jpg"))
    with (PORTRAITS / "portraits.csv").open() as file:
        prompts = {row["image"]: row for row in csv.DictReader(file)}
    for name, age, male in zip(dataset.ids, dataset.annotations["age"], dataset.annotations["male"], strict=True):
        row = prompts[f"{name[:-6]}-0{name[-6:]}".replace("/", "")]
        assert f" {int(age)}-year-old " in row["prompt"]
        assert (row["sex"] == "male") == bool(male)
    files[next(iter(files))] = b"another picture"
    site.files[f"/{repository}/tar.gz/{commit}"] = pack("x.tar.gz", files)
    with pytest.raises(HashMismatchError, match="98b5faef"):
        WeightStore(host, cache=tmp_path / "other").path("portraits/256")
