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
    """Download ``url`` to ``destination``, going on from what is there of an earlier try.

    Part of a file is only gone on with if its hash is known beforehand, or if the server said by
    which ETag or date it can be known again, so that two releases are never mixed.

    Args:
        url: An ``http`` or ``https`` address.
        destination: File to write; what was had of it stays when the download breaks off.
        progress: Told the bytes here and the bytes in all.
        sha256: What the whole file will have; the caller checks it, and deletes a file that has not.
        options: Handed to ``requests.get``, such as ``auth`` and ``verify``.

    Raises:
        WeightsError: the server cannot be reached, refuses, or breaks off.
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
            if not part.worth_going_on or attempt == ATTEMPTS:
                raise WeightsError(cause(error)) from None


def cause(error: Exception) -> str:
    """Say in a few words why a request failed."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answered {error.response.status_code} {error.response.reason}"
    # The order matters: the first three are kinds of ConnectionError.
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted; REQUESTS_CA_BUNDLE can name the file of your own authority"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be reached"
    if isinstance(error, requests.Timeout):
        return "the server does not answer"
    if isinstance(error, _BrokenOffError):
        return f"the connection broke off {error}"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.ConnectionError):
        return "the server cannot be reached; is there a network?"
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class _BrokenOffError(Exception):
    """A download ended before all of it was here."""


class _Part:
    """The file that a download writes to, and what is known of the release it belongs to."""

    def __init__(self, url: str, path: Path, progress: Progress, sha256: str) -> None:
        #: Whether another try can get further than this one did.
        self.worth_going_on = False
        self._url = url
        self._path = path
        self._progress = progress
        self._known = path.with_name(f"{path.name}.json")
        self._sha256 = sha256
        self._release = self._read_release()
        self._total = 0
        self._file: IO[bytes] | None = None

    def headers(self) -> dict[str, str]:
        """Return the headers that ask for what is still missing, as it is and not compressed."""
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
            self._begin_anew(f"{self._file.tell()} bytes are more than the server has")
        if response.status_code == 206:
            here = self._file.seek(0, 2)
            span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
            if not span.startswith(f"{here}-"):
                self._begin_anew(f"at byte {here}, and the server went on elsewhere ({span or 'it does not say'})")
            self._total = int(total) if total.isdigit() else 0
        else:
            response.raise_for_status()
            here = self._file.truncate(0)
            compressed = response.headers.get("Content-Encoding", "identity") != "identity"
            self._total = 0 if compressed else int(response.headers.get("Content-Length", 0))
            etag = response.headers.get("ETag", "")
            # A weak ETag says "much the same", which is not enough to put two halves together.
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
        self.worth_going_on = True
        self._progress(self._file.tell(), self._total)

    def finish(self) -> None:
        """Check that all of the file is here."""
        size = self._path.stat().st_size
        if self._total and size < self._total:
            raise _BrokenOffError(f"after {size} of {self._total} bytes")
        self._known.unlink(missing_ok=True)

    def _begin_anew(self, reason: str) -> NoReturn:
        """End this try, and let the next one ask for the whole file."""
        self._known.unlink(missing_ok=True)
        self.worth_going_on = True
        raise _BrokenOffError(reason)

    def _read_release(self) -> dict[str, str]:
        """Return what is known of the file that a part of is here, or nothing if it is another file."""
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
