"""Downloads over http and https: resumed where an earlier attempt stopped, and bounded in size and time."""

from __future__ import annotations

import functools
import io
import ipaddress
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import urlsplit

from faceinv.errors import WeightsError
from faceinv.weights.sources.base import LARGEST, Notify, Progress

if TYPE_CHECKING:
    import requests

T = TypeVar("T")

#: Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (10, 60)

#: Attempts at one download before its error is reported.
ATTEMPTS = 4

#: Bytes read at a time, at most.
CHUNK = 1 << 16

#: Seconds in which a server must answer, and over which its speed is measured; the least speed in bytes per second.
PATIENCE, LEAST_SPEED = 60.0, 1000

#: Limit on the bytes of a page that is kept in memory, such as a project's in a package index.
LARGEST_PAGE = 16 << 20


def fetch_https(location: str, destination: Path, progress: Progress, *, size: int = 0) -> None:
    """Download ``https:`` + ``location`` to ``destination``; see :func:`download`."""
    download(f"https:{location}", destination, progress, size=size)


def download(
    url: str,
    destination: Path,
    progress: Progress,
    *,
    sha256: str = "",
    size: int = 0,
    patience: float = PATIENCE,
    **options: Any,
) -> None:
    """Download ``url`` to ``destination``, resuming an earlier attempt if there is one.

    A partial file is only resumed if the hash of the whole is known beforehand, or if the server gave an ETag or a
    date to recognise it by, so two releases are never mixed.

    Args:
        url: An ``http`` or ``https`` address.
        destination: File to write; a partial file is kept if the download breaks off.
        progress: Called with the bytes downloaded so far and the total.
        sha256: Expected hash of the whole file; checking it, and deleting a file that differs, is up to the caller.
        size: Size in bytes beyond which nothing is downloaded; 0 if unknown, for :data:`LARGEST`.
        patience: Seconds in which the server must answer, and over which its speed is measured.
        options: Passed to ``requests.get``, such as ``auth`` and ``verify``.

    Raises:
        WeightsError: if the server cannot be reached, refuses, breaks off, is too slow or sends too much.
    """
    import requests
    import urllib3

    for attempt in range(1, ATTEMPTS + 1):
        part = _Part(url, destination, progress, sha256, size or LARGEST)
        headers = {"User-Agent": "faceinv", **part.headers()}
        try:
            get = functools.partial(requests.get, url, headers=headers, stream=True, timeout=TIMEOUT, **options)
            with part, within(patience, get) as response:
                part.begin(response)
                for block in received(response, patience):
                    part.write(block)
                part.finish()
            return
        except (requests.RequestException, urllib3.exceptions.HTTPError, _BrokenOffError) as error:
            if not part.worth_retrying or attempt == ATTEMPTS:
                raise WeightsError(cause(error)) from None


def within(seconds: float, call: Callable[[], T]) -> T:
    """Return what ``call`` returns, or raise what it raises.

    The timeouts of ``requests`` start again with each byte, so a server can make its headers last for ever.

    Raises:
        WeightsError: if it takes longer. It then goes on in the background until the process ends.
    """
    outcomes: queue.SimpleQueue[Callable[[], T]] = queue.SimpleQueue()

    def run() -> None:
        try:
            result = call()
            outcomes.put(lambda: result)
        except BaseException as error:  # Raised again below, in the thread that waits.
            outcomes.put(functools.partial(_raise, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        outcome = outcomes.get(timeout=seconds)
    except queue.Empty:
        raise WeightsError(f"the server did not answer within {seconds:.0f} seconds; try again later") from None
    return outcome()


def _raise(error: BaseException) -> NoReturn:
    raise error


def received(response: requests.Response, patience: float = PATIENCE) -> Iterator[bytes]:
    """Yield the body of a streamed response as it arrives.

    Raises:
        WeightsError: if it is slower than :data:`LEAST_SPEED` over ``patience`` seconds.
    """
    began, count = time.monotonic(), 0
    # Not iter_content, which waits until a block is full.
    while block := response.raw.read1(CHUNK, decode_content=True):
        yield block
        count += len(block)
        seconds = time.monotonic() - began
        if seconds >= patience:
            if count < LEAST_SPEED * seconds:
                raise WeightsError(f"the server is too slow: {count} bytes in {seconds:.0f} seconds; try again later")
            began, count = time.monotonic(), 0


def keep_page(response: requests.Response, *_: Any, **__: Any) -> None:
    """Hook of ``requests``: read the body within the bounds of :func:`received` and :data:`LARGEST_PAGE`.

    Raises:
        WeightsError: if the page is larger.
    """
    page = bytearray()
    for block in received(response):
        page += block
        if len(page) > LARGEST_PAGE:
            response.close()
            raise WeightsError(f"the server sends a page of more than {LARGEST_PAGE:,} bytes")
    response.raw = io.BytesIO(page)


def is_loopback(hostname: str) -> bool:
    """Return whether a host of an address is this machine itself."""
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return hostname == "localhost"


def note_plain_http(address: str, notify: Notify) -> None:
    """Notify the user if ``address`` is of another machine and not encrypted."""
    parts = urlsplit(address)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        notify(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]} is not encrypted, so what it sends can be changed on "
            "the way; only files with a published hash are safe. Use https if it is offered."
        )


def cause(error: Exception) -> str:
    """Return in a few words why a request failed."""
    import requests
    import urllib3

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    # The order matters: the first three are kinds of ConnectionError.
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted; REQUESTS_CA_BUNDLE can name your own authority's file"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return "the server does not respond"
    if isinstance(error, _BrokenOffError):
        return f"the connection broke off {error}"
    if isinstance(error, (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.ProtocolError)):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached; is there a network?"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _BrokenOffError(Exception):
    """A download that ended early."""


class _Part:
    """The file that a download writes to, and a note of the release that it is part of."""

    def __init__(self, url: str, path: Path, progress: Progress, sha256: str, limit: int) -> None:
        #: Whether another attempt may get further than this one.
        self.worth_retrying = False
        self._url = url
        self._path = path
        self._progress = progress
        self._limit = limit
        self._known = path.with_name(f"{path.name}.json")
        self._sha256 = sha256
        self._release = self._read_release()
        self._total = 0
        self._file: IO[bytes] | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for the missing bytes, uncompressed."""
        headers = {"Accept-Encoding": "identity"}
        if self._release:
            headers["Range"] = f"bytes={self._path.stat().st_size}-"
        if self._release.get("validator"):
            headers["If-Range"] = self._release["validator"]
        return headers

    def begin(self, response: requests.Response) -> None:
        """Take the response's headers: append to the file (206), or start it again (200).

        Raises:
            requests.HTTPError: if the server refuses.
        """
        assert self._file is not None
        if response.status_code == 416:
            self._restart(f"at byte {self._file.tell()}, beyond the end of the server's file")
        if response.status_code == 206:
            here = self._file.seek(0, 2)
            span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if not span.startswith(f"{here}-"):
                self._restart(f"at byte {here}, and the server resumed elsewhere ({span or 'at an unknown byte'})")
            self._total = int(total) if total.isdigit() else 0
        else:
            response.raise_for_status()
            self._file.truncate(0)
            here = self._file.seek(0)
            compressed = response.headers.get("Content-Encoding", "identity") != "identity"
            self._total = 0 if compressed else int(response.headers.get("Content-Length", 0))
            etag = response.headers.get("ETag", "")
            # A weak ETag only promises equivalent content, which is not enough to join two parts.
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            self._known.unlink(missing_ok=True)
            if (validator or self._sha256) and not compressed:
                release = {"url": self._url, "sha256": self._sha256, "validator": validator}
                self._known.write_text(json.dumps(release))
        self._check_size(self._total)
        self._progress(here, self._total)

    def write(self, block: bytes) -> None:
        """Append a block."""
        assert self._file is not None
        here = self._file.tell() + len(block)
        self._check_size(here)
        self._file.write(block)
        self.worth_retrying = True
        self._progress(here, self._total)

    def finish(self) -> None:
        """Check that the file is complete."""
        assert self._file is not None
        size = self._file.tell()
        if self._total and size < self._total:
            raise _BrokenOffError(f"after {size} of {self._total} bytes")
        self._known.unlink(missing_ok=True)

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            assert self._file is not None
            self._file.truncate(0)
            self._known.unlink(missing_ok=True)
            raise WeightsError(f"the server sends more than the {self._limit:,} bytes that the file may have")

    def _restart(self, reason: str) -> NoReturn:
        """End this attempt, and let the next one ask for the whole file."""
        self._known.unlink(missing_ok=True)
        self.worth_retrying = True
        raise _BrokenOffError(reason)

    def _read_release(self) -> dict[str, str]:
        """Return the note of the release that the partial file is of; empty if it is a different one."""
        try:
            release = json.loads(self._known.read_bytes())
            here = self._path.stat().st_size
        except (OSError, ValueError):
            return {}
        if not here or not isinstance(release, dict):
            return {}
        same = (release.get("url"), release.get("sha256")) == (self._url, self._sha256)
        return {name: str(value) for name, value in release.items()} if same else {}

    def __enter__(self) -> _Part:
        self._file = self._path.open("ab")
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        assert self._file is not None
        self._file.close()
        if kind is not None and not self._path.stat().st_size:
            self._path.unlink()
            self._known.unlink(missing_ok=True)
