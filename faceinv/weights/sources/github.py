"""Files of a GitHub repository at one commit, repacked so that they have the same bytes wherever they are fetched."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path

from faceinv.errors import WeightsError
from faceinv.weights.sources.archive import repack
from faceinv.weights.sources.base import Notify, Progress, say_nothing
from faceinv.weights.sources.http import download, note_plain_http

#: Server of archives, and the variable that names another one with the same paths.
SERVER, VARIABLE = "https://codeload.github.com", "FACEINV_GITHUB"

#: Limit in bytes on a repository's archive.
LARGEST_ARCHIVE = 1 << 30

_LOCATION = re.compile(r"(?P<repository>[\w-]+/[\w.-]+)@(?P<commit>[0-9a-f]{40})/(?P<patterns>.+)")


def fetch_github(
    location: str, destination: Path, progress: Progress, *, size: int = 0, notify: Notify = say_nothing
) -> None:
    """Write the files of ``OWNER/REPO@COMMIT/PATTERN,PATTERN`` to ``destination``, an uncompressed zip file.

    The server makes a repository's archive anew at each request and does not promise its bytes, so their hash cannot be
    pinned. The zip file has the files alone, sorted and without dates: its hash is that of their names and contents.
    The archive stays next to ``destination`` until it is complete, so that a broken download is resumed.

    Args:
        location: ``OWNER/REPO@COMMIT/PATTERN,PATTERN``; a pattern such as ``images/*.jpg`` is one of :mod:`fnmatch`.
        destination: File to write.
        progress: Called with the bytes of the archive.
        size: Largest size of the files together, 0 if unknown.
        notify: Called if the server is not encrypted.

    Raises:
        WeightsError: if the server has no such commit, or the commit has no such file.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise WeightsError("a 'github:' source must be OWNER/REPO@COMMIT/PATTERN, with the 40 digits of the commit")
    server = os.environ.get(VARIABLE) or SERVER
    note_plain_http(server, notify)
    patterns = match["patterns"].split(",")
    archive = destination.with_name(f"{destination.name}.tar.gz")
    url = f"{server.rstrip('/')}/{match['repository']}/tar.gz/{match['commit']}"
    download(url, archive, progress, size=LARGEST_ARCHIVE)

    def is_wanted(name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    try:
        if not repack(archive, url, is_wanted, destination, size=size):
            raise WeightsError(f"no file {' or '.join(patterns)} in {match['repository']} at {match['commit'][:7]}")
    finally:
        archive.unlink(missing_ok=True)
