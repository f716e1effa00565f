"""The fingerprint of files follows their contents, and files that stay the same are read once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from faceinv.data import combined, content_fingerprint, digests, file_state
from faceinv.storage import file_sha256


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FACEINV_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    for index in range(3):
        (tmp_path / f"{index}.bmp").write_bytes(bytes([index]) * 50)
    return [str(tmp_path / f"{index}.bmp") for index in range(3)]


def counted(read: list[str]) -> Callable[[str], str]:
    return lambda name: [read.append(name), file_sha256(name)][1]


def test_other_content_of_the_same_size_and_time_is_another_fingerprint(files: list[str]) -> None:
    before = content_fingerprint(["a", "b", "c"], files)
    state = os.stat(files[1])
    Path(files[1]).write_bytes(b"x" * 50)
    os.utime(files[1], ns=(state.st_atime_ns, state.st_mtime_ns))
    assert content_fingerprint(["a", "b", "c"], files) != before
    Path(files[1]).write_bytes(b"\1" * 50)
    assert content_fingerprint(["a", "b", "c"], files) == before
    assert content_fingerprint(["a", "b", "d"], files) != before


def test_files_are_read_again_only_after_a_change(files: list[str]) -> None:
    read: list[str] = []
    before = digests("place", files, file_state, counted(read), recent=0)
    assert sorted(read) == files
    assert digests("place", files, file_state, counted(read), recent=0) == before
    assert len(read) == 3
    Path(files[2]).write_bytes(b"y" * 50)
    assert digests("place", files, file_state, counted(read), recent=0)[:2] == before[:2]
    assert read[3:] == [files[2]]


def test_files_written_just_now_are_not_remembered(files: list[str], cache: Path) -> None:
    content_fingerprint(files, files)
    assert not cache.exists()


@pytest.mark.parametrize("content", [b"", b"no hash", b"\xff\n{}", b"0\n{}"])
def test_a_damaged_memory_is_none(files: list[str], cache: Path, content: bytes) -> None:
    before = digests("place", files, file_state, file_sha256, recent=0)
    (memory,) = (cache / "contents").iterdir()
    whole = memory.read_bytes()
    for damaged in (content, whole[:-1], whole.replace(b"0", b"1", 1)):
        memory.write_bytes(damaged)
        assert digests("place", files, file_state, file_sha256, recent=0) == before
        assert memory.read_bytes() == whole


def test_what_cannot_be_read_counts_as_such(files: list[str], tmp_path: Path) -> None:
    before = content_fingerprint(files, files)
    os.remove(files[0])
    missing = content_fingerprint(files, files)
    assert missing != before
    if os.name != "nt":
        os.mkfifo(files[0])
        assert content_fingerprint(files, files) == missing
    assert content_fingerprint([], []) == combined([], [])
