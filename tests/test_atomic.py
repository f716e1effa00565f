"""Files are written whole or not at all, and with the permissions of any other file."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from faceinv.errors import StorageError
from faceinv.storage import load_or_make
from faceinv.storage.atomic import replacing, write_atomically, write_output
from faceinv.weights import save_tensors


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_file_replaces_the_old_one_and_follows_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "new/folder/f"
    for content in (b"first", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert mode(path) == 0o640
    assert os.listdir(path.parent) == ["f"]


def test_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")

    def half(target: Path) -> None:
        with replacing(target) as temporary:
            temporary.write_bytes(b"half")
            raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011
        half(path)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["f"]


def test_leftovers_of_killed_processes_are_removed(tmp_path: Path) -> None:
    old, new, other = (
        tmp_path / name for name in (".f.faceinv-0123456789ab", ".f.faceinv-abcdefabcdef", ".f.0123456789ab")
    )
    for path in (old, new, other):
        path.mkdir()
        (path / ".tmpAbCdEf").touch()
    for path in (old, other):
        os.utime(path, (0, 0))
    write_atomically(tmp_path / "f", b"")
    assert sorted(os.listdir(tmp_path)) == sorted([new.name, other.name, "f"])


def test_long_names(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("ü" * 127), b"x")
    assert os.listdir(tmp_path) == ["ü" * 127]


def test_output_through_a_link_and_into_a_device(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"old")
    for name, target in (("link", "real"), ("dangling", "made"), ("device", "/dev/null")):
        (tmp_path / name).symlink_to(target)
        write_output(tmp_path / name, b"new")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "real").read_bytes() == (tmp_path / "made").read_bytes() == b"new"
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    with pytest.raises(StorageError, match="cannot be written"):
        write_output(tmp_path, b"new")


def test_output_into_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    # Open for reading and writing, so that neither side waits.
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    write_output(tmp_path / "pipe", b"new")
    assert os.read(reader, 10) == b"new"
    os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / "file/f", b"")


def test_tensors_can_be_read_by_others(tmp_path: Path) -> None:
    tensors = {"a": torch.ones(2)}
    load_or_make(tmp_path / "a.safetensors", lambda: tensors)
    save_tensors(tensors, tmp_path / "b.safetensors", source=tmp_path / "a.safetensors")
    assert [mode(tmp_path / name) for name in ("a.safetensors", "b.safetensors")] == [0o640, 0o640]
