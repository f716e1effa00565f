"""Downloads over http and https that resume where an earlier attempt stopped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NoReturn

from faceinv.errors import WeightsError
from faceinv.weights.sources.base import Progress

if TYPE_CHECKING:
    import requests

#: Seconds to wait for a connection, and for the next bytes.
TIMEOUT = (10, 60)

#: Attempts at one download before its error is reported.
ATTEMPTS = 4

#: Bytes read at a time.
CHUNK = 1 << 16


def fetch_https(location: str, destination: Path, progress: Progress) -> None:
    """Download ``https:`` + ``location`` to ``destination``; see :func:`download`."""
    download(f"https:{location}", destination, progress)


def download(url: str, destination: Path, progress: Progress, *, sha256: str = "", **options: Any) -> None:
    """Download ``url`` to ``destination``, resuming an earlier attempt if there is one.

    A partial file is only resumed if the hash of the whole is known beforehand, or if the server gave an ETag or a
    date to recognise it by, so two releases are never mixed.

    Args:
        url: An ``http`` or ``https`` address.
        destination: File to write; a partial file is kept if the download breaks off.
        progress: Called with the bytes downloaded so far and the total.
        sha256: Expected hash of the whole file; checking it, and deleting a file that differs, is up to the caller.
        options: Passed to ``requests.get``, such as ``auth`` and ``verify``.

    Raises:
        WeightsError: if the server cannot be reached, refuses, or breaks off.
    """
    import requests
    import urllib3

    for attempt in range(1, ATTEMPTS + 1):
        part = _Part(url, destination, progress, sha256)
        headers = {"User-Agent": "faceinv", **part.headers()}
        try:
            with part, requests.get(url, headers=headers, stream=True, timeout=TIMEOUT, **options) as response:
                part.begin(response)
                for block in response.iter_content(CHUNK):
                    part.write(block)
            part.finish()
            return
        except (requests.RequestException, urllib3.exceptions.HTTPError, _BrokenOffError) as error:
            if not part.worth_retrying or attempt == ATTEMPTS:
                raise WeightsError(cause(error)) from None


def cause(error: Exception) -> str:
    """Return in a few words why a request failed."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    # The order matters: the first three are kinds of ConnectionError.
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not trusted; REQUESTS_CA_BUNDLE can name your own authority's file"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, requests.Timeout):
        return "the server does not respond"
    if isinstance(error, _BrokenOffError):
        return f"the connection broke off {error}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached; is there a network?"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _BrokenOffError(Exception):
    """A download that ended early."""


class _Part:
    """The file that a download writes to, and a note of the release that it is part of."""

    def __init__(self, url: str, path: Path, progress: Progress, sha256: str) -> None:
        #: Whether another attempt may get further than this one.
        self.worth_retrying = False
        self._url = url
        self._path = path
        self._progress = progress
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
            here = self._file.truncate(0)
            compressed = response.headers.get("Content-Encoding", "identity") != "identity"
            self._total = 0 if compressed else int(response.headers.get("Content-Length", 0))
            etag = response.headers.get("ETag", "")
            # A weak ETag only promises equivalent content, which is not enough to join two parts.
            validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
            self._known.unlink(missing_ok=True)
            if (validator or self._sha256) and not compressed:
                release = {"url": self._url, "sha256": self._sha256, "validator": validator}
                self._known.write_text(json.dumps(release))
        self._progress(here, self._total)

    def write(self, block: bytes) -> None:
        """Append a block."""
        assert self._file is not None
        self._file.write(block)
        self.worth_retrying = True
        self._progress(self._file.tell(), self._total)

    def finish(self) -> None:
        """Check that the file is complete."""
        size = self._path.stat().st_size
        if self._total and size < self._total:
            raise _BrokenOffError(f"after {size} of {self._total} bytes")
        self._known.unlink(missing_ok=True)

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

    def __exit__(self, *_: object) -> None:
        assert self._file is not None
        self._file.close()
