"""Hashes of the contents of files, remembered for as long as the files stay the same."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from faceinv.errors import InputError, StorageError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256

#: What tells that a file has not changed: size, modification and change time, inode and the like.
State = tuple[int, ...]

#: Reading waits for the disk more than for a core.
_THREADS = 8

#: Files changed this shortly before they are looked at are hashed again next time: within one tick of the file
#: system's clock, a later change would not show. FAT counts in two seconds.
_RECENT = 2 * 10**9

#: Stands for the hash of what cannot be read.
_UNREADABLE = "unreadable"


def content_fingerprint(ids: Sequence[str], files: Sequence[str | Path]) -> str:
    """Return a hash of ids and of the contents of their files, as :meth:`Dataset.fingerprint` has to.

    All files are read once; later, only those whose size, times or inode have changed.

    Args:
        ids: One for each file.
        files: The files. One that cannot be read counts as such.
    """
    paths = [os.path.abspath(file) for file in files]
    found = digests(os.path.commonpath(paths) if paths else "", paths, file_state, file_sha256)
    return combined(ids, found)


def file_state(path: str | Path) -> State | None:
    """Return the state of a regular file, or ``None`` if there is none."""
    try:
        found = os.stat(path)
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev


def digests(
    place: str,
    names: Sequence[str],
    state: Callable[[str], State | None],
    sha256: Callable[[str], str],
    *,
    recent: int = _RECENT,
) -> list[str]:
    """Return the digest of each named content; those whose state is known come from the cache folder.

    Args:
        place: What the names belong to, such as their folder; each has a file in the cache folder.
        names: Names of the contents, unique within ``place``.
        state: Returns the state of a content, which starts with its size and its modification and change time in
            nanoseconds, or ``None`` if it cannot be read.
        sha256: Returns the SHA-256 of a content; may raise :class:`OSError` or :class:`InputError`.
        recent: Contents changed within so many nanoseconds are not remembered.
    """
    file = cache_folder() / "contents" / f"{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.json"
    known = _read(file)
    now = time.time_ns()
    states = {name: state(name) for name in names}

    def digest(name: str) -> str:
        try:
            return sha256(name)[:32]
        except (OSError, InputError):
            return _UNREADABLE

    found = dict.fromkeys(names, _UNREADABLE)
    for name, seen in states.items():
        entry = known.get(name)
        if seen is not None and entry is not None and entry[:-1] == [*seen]:
            found[name] = str(entry[-1])
    changed = [name for name, seen in states.items() if seen is not None and found[name] == _UNREADABLE]
    with ThreadPoolExecutor(_THREADS) as threads:
        found.update(zip(changed, threads.map(digest, changed), strict=True))
    settled: dict[str, list[int | str]] = {
        name: [*seen, found[name]]
        for name in changed
        if (seen := states[name]) and found[name] != _UNREADABLE and now - max(seen[1:3]) >= recent
    }
    if settled:
        _write(file, known | settled)
    return [found[name] for name in names]


def combined(ids: Sequence[str], found: Sequence[str]) -> str:
    """Return one short hash of ids and of the digest of each."""
    digest = hashlib.sha256()
    for name, content in zip(ids, found, strict=True):
        digest.update(f"{name} {content}\n".encode())
    return digest.hexdigest()[:16]


def _read(file: Path) -> dict[str, list[int | str]]:
    """Return the remembered states and digests; nothing if the file is damaged."""
    try:
        check, _, body = file.read_bytes().partition(b"\n")
        if check.decode() != hashlib.sha256(body).hexdigest():
            return {}
        known: dict[str, list[int | str]] = json.loads(body)
        return known
    except (OSError, ValueError):
        return {}


def _write(file: Path, known: Mapping[str, Sequence[int | str]]) -> None:
    body = json.dumps(known).encode()
    # A shared cache may be read-only: then the files are read again next time.
    with contextlib.suppress(StorageError):
        write_atomically(file, hashlib.sha256(body).hexdigest().encode() + b"\n" + body, synchronise=False)
