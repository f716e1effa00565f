"""Only regular files are opened: anything else could block, or never end."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from faceinv.storage import file_sha256, open_regular


@pytest.fixture(params=["pipe", "socket", "device", "folder", "link to itself", "link to a pipe"])
def irregular(request: pytest.FixtureRequest) -> Iterator[Path]:
    # A socket's path must be short.
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder) / "x"
        if request.param == "pipe":
            os.mkfifo(path)
        elif request.param == "socket":
            server.bind(str(path))
        elif request.param == "device":
            path.symlink_to("/dev/zero")
        elif request.param == "folder":
            path.mkdir()
        elif request.param == "link to itself":
            path.symlink_to(path)
        else:
            os.mkfifo(path.with_name("pipe"))
            path.symlink_to("pipe")
        yield path


def test_what_is_not_a_file_is_refused_at_once(irregular: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for read in (open_regular, file_sha256):
        with pytest.raises(OSError, match=str(irregular)):
            read(irregular)
    assert before == (len(os.listdir("/proc/self/fd")) if before else 0)


def test_files_and_links_to_them_are_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    with open_regular(tmp_path / "link") as file:
        assert file.read() == b"content"


def test_a_name_that_no_file_can_have_is_an_os_error() -> None:
    with pytest.raises(OSError, match="null byte"):
        open_regular("a\0b")
