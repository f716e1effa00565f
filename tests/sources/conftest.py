"""A local web server that can misbehave, and archives for it to serve."""

from __future__ import annotations

import contextlib
import functools
import http.server
import io
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import pytest


@dataclass
class Site:
    """A web server: the files it serves, its faults, and the requests it got."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    #: Bytes after which each of the next responses breaks off.
    breaks: list[int] = field(default_factory=list)
    #: (path, Range header, bytes sent)
    asked: list[tuple[str, str, int]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)


class Handler(http.server.BaseHTTPRequestHandler):
    site: Site

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        site, asked = self.site, self.headers.get("Range", "")
        site.logins.append(self.headers.get("Authorization", ""))
        body = site.files.get(self.path)
        if body is None:
            site.asked.append((self.path, asked, 0))
            self.send_error(404)
            return
        start = 0
        condition = self.headers.get("If-Range")
        known = (None, site.headers.get("ETag"), site.headers.get("Last-Modified"))
        if asked and site.ranges and condition in known:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
        if start >= len(body) > 0:
            site.asked.append((self.path, asked, 0))
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - start))
        kind = "text/html" if self.path.endswith("/") else "application/octet-stream"
        for name, value in {"Content-Type": kind, **site.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        sent = body[start:]
        if site.breaks:
            sent = sent[: site.breaks.pop(0)]
        site.asked.append((self.path, asked, len(sent)))
        if self.command == "GET":
            self.wfile.write(sent)

    def log_message(self, *args: object) -> None:
        pass


@contextlib.contextmanager
def serving() -> Iterator[Site]:
    site = Site()
    handler = type("SiteHandler", (Handler,), {"site": site})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=functools.partial(server.serve_forever, 0.02), daemon=True).start()
        site.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield site
        finally:
            server.shutdown()


@pytest.fixture
def serve() -> Callable[[], AbstractContextManager[Site]]:
    return serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        yield served


def pack_members(filename: str, members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    if filename.endswith((".whl", ".zip")):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as zip_archive:
            for name, content in members.items():
                zip_archive.writestr(name, content)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="session")
def pack() -> Callable[[str, dict[str, bytes]], bytes]:
    """A function that makes archives, zip or tar by the file's name."""
    return pack_members
