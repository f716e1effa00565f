"""Weights files: named, pinned by SHA-256, fetched on first use, verified, kept in a cache folder.

Nothing is read from a file here beyond its bytes: no unpickling, no decoding.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import filelock

from faceinv.contracts.specs import WeightSpec
from faceinv.errors import FaceinvError, HashMismatchError, StorageError, UsageError, WeightsError
from faceinv.plugins.host import Host
from faceinv.plugins.registry import load_target
from faceinv.storage.atomic import replacing
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256
from faceinv.weights.sources.base import Progress

#: Sources that need no network.
LOCAL = ("file", "package")


def human_size(size: int) -> str:
    """Return ``size`` in bytes for people: ``"13.3 MB"``."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} {units[0]}" if units[0] == "B" or number >= 99.95 else f"{number:.1f} {units[0]}"


class WeightStore:
    """The weights files that plugins declare, on this machine.

    Args:
        host: The plugins, which declare the files and the ways to fetch them.
        cache: Folder that they are kept in (in its sub-folder ``weights``); ``None`` takes
            :func:`cache_folder`.
        offline: Whether the network must not be used.
        trusted: SHA-256 of files that are accepted although nobody published a hash for them.
        notify: Told, in one line each, what is fetched under which licence and where it went.
        confirm: Asked whether a file without a published hash is trusted; ``None`` where nobody can
            be asked.
        progress: Makes, from a label, a context in which a download's progress is shown.

    Raises:
        UsageError: one of ``trusted`` is no SHA-256.
    """

    def __init__(
        self,
        host: Host,
        *,
        cache: Path | None = None,
        offline: bool = False,
        trusted: Collection[str] = (),
        notify: Callable[[str], None] | None = None,
        confirm: Callable[[str], bool] | None = None,
        progress: Callable[[str], AbstractContextManager[Progress]] | None = None,
    ) -> None:
        self.host = host
        self.cache = cache if cache is not None else cache_folder()
        self.offline = offline
        self._trusted = {_checked_sha256(given) for given in trusted}
        self._notify = notify or (lambda text: None)
        self._confirm = confirm
        self._progress = progress or (lambda label: contextlib.nullcontext(lambda done, total: None))
        self._in_use: dict[str, tuple[Path, str]] = {}

    def path(self, name: str) -> Path:
        """Return the verified local file of ``name``; it is fetched on first use.

        Raises:
            UnknownNameError: no plugin declares it.
            HashMismatchError: the file is not the pinned one; it is kept aside.
            WeightsError: no source has it, ``offline`` forbids to ask, or its hash is not trusted.
            StorageError: the cache folder cannot be written.
        """
        return self._use(self.host.spec("weights", name))[0]

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of the file in use under ``name``; it is fetched on first use."""
        return self._use(self.host.spec("weights", name))[1]

    def is_here(self, name: str) -> bool:
        """Say whether the file is on this machine; neither the network is asked nor a hash computed."""
        return self.location(name) is not None

    def location(self, name: str) -> Path | None:
        """Return where the file of ``name`` is on this machine, unverified, or ``None``."""
        spec: WeightSpec = self.host.spec("weights", name)
        if spec.name in self._in_use:
            return self._in_use[spec.name][0]
        return _shipped(spec) or self._cached(spec)

    def folder(self, name: str) -> Path:
        """Return the folder that the file of ``name`` is kept in."""
        return self.cache / "weights" / re.sub(r"[^\w.+-]", "-", name.replace("/", "--")).lstrip(".")

    def adopt(self, names: Sequence[str], file: Path) -> Path:
        """Let a user's own ``file`` stand in for the declared files ``names``, and return it.

        A file that is none of the published ones is said to be so. Where a declared file has no
        published hash, nothing tells a wrong file from the right one, so it must be trusted first.

        Raises:
            WeightsError: the file is missing, empty, unreadable, or not trusted.
        """
        specs = self.host.weights(names)
        try:
            if file.stat().st_size == 0:
                raise WeightsError(f"--weights {file}: the file is empty.")
            sha256 = file_sha256(file)
        except IsADirectoryError:
            raise WeightsError(f"--weights {file} is a folder; name the weights file in it.") from None
        except OSError as error:
            raise WeightsError(f"--weights {file} cannot be read: {error.strerror or error}.") from None
        pins = {spec.sha256 for spec in specs}
        if sha256 not in pins:
            what = " and ".join(spec.name for spec in specs) or "a network that declares no file"
            if not pins or "" in pins:
                self._require_trust(what, file, sha256)
            else:
                self._notify(f"{file} is not the published file of {what}; its SHA-256 is {sha256}.")
        for spec in specs:
            self._in_use[spec.name] = (file, sha256)
        return file

    def verify(self, name: str) -> str | None:
        """Hash the file of ``name`` anew and return its SHA-256, or ``None`` if it is not here.

        Raises:
            HashMismatchError: it is not the pinned file; it is kept aside.
        """
        spec: WeightSpec = self.host.spec("weights", name)
        shipped = _shipped(spec)
        path = shipped or self._cached(spec)
        if path is None:
            return None
        with self._storage():
            sha256 = file_sha256(path)
            if spec.sha256 and sha256 != spec.sha256:
                raise self._reject(spec, path, sha256)
            if not shipped:
                _write_note(path, sha256)
        return sha256

    def _use(self, spec: WeightSpec) -> tuple[Path, str]:
        if spec.name not in self._in_use:
            shipped = _shipped(spec)
            if shipped is not None:
                self._in_use[spec.name] = (shipped, file_sha256(shipped))
            else:
                path = self._target(spec)
                with self._storage():
                    sha256 = self._known(spec, path) or self._obtain(spec, path)
                if not spec.sha256:
                    self._require_trust(spec.name, path, sha256)
                self._in_use[spec.name] = (path, sha256)
        return self._in_use[spec.name]

    def _target(self, spec: WeightSpec) -> Path:
        # The hash in the name keeps two releases of one name apart; without one there is but one file.
        return self.folder(spec.name) / (f"{spec.sha256[:12]}-{spec.filename}" if spec.sha256 else spec.filename)

    def _cached(self, spec: WeightSpec) -> Path | None:
        """Return the file in the cache folder, or the one that the user put there by hand."""
        candidates = (self._target(spec), self.folder(spec.name) / spec.filename)
        return next((path for path in candidates if path.is_file()), None)

    def _known(self, spec: WeightSpec, path: Path) -> str | None:
        """Return the SHA-256 of ``path`` if it is there and right; needs no lock and no writable folder."""
        sha256 = _read_note(path)
        if sha256 is None and path.is_file():
            sha256 = file_sha256(path)
            if not spec.sha256 or sha256 == spec.sha256:
                _write_note(path, sha256)
        return sha256 if not spec.sha256 or sha256 == spec.sha256 else None

    def _obtain(self, spec: WeightSpec, target: Path) -> str:
        """Verify what is in the folder, or fetch it; one process at a time. Return the SHA-256."""
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._locked(spec, target):
            by_hand = target.with_name(spec.filename)
            if not target.exists() and by_hand.exists():
                os.replace(by_hand, target)
            # Another process may have fetched it while this one waited for the lock.
            sha256 = self._known(spec, target)
            if sha256 is None and target.exists():
                raise self._reject(spec, target, file_sha256(target))
            if sha256 is None:
                sha256 = self._fetch(spec, target)
                _write_note(target, sha256)
        return sha256

    @contextlib.contextmanager
    def _locked(self, spec: WeightSpec, target: Path) -> Iterator[None]:
        lock = filelock.FileLock(f"{target}.lock")
        try:
            lock.acquire(timeout=0.5)
        except filelock.Timeout:
            self._notify(f"Waiting for another process, which is fetching {spec.name}.")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def _fetch(self, spec: WeightSpec, target: Path) -> str:
        """Try the sources in order, and return the SHA-256 of what was put at ``target``."""
        sources = [source for source in spec.sources if not self.offline or _scheme(source) in LOCAL]
        causes: list[str] = []
        mismatch: HashMismatchError | None = None
        for source in sources:
            # A name of its own for each source: what is left of one must not be resumed from another.
            part = target.with_name(f"{target.name}.{hashlib.sha256(source.encode()).hexdigest()[:8]}.part")
            size = f", {human_size(spec.size)}" if spec.size else ""
            self._notify(f"Fetching {spec.name}{size}, from {source}. Licence: {spec.licence}.")
            try:
                fetch = load_target(self.host.spec("weight source", _scheme(source)))
                with self._progress(spec.name) as progress:
                    fetch(source.partition(":")[2], part, progress)
            except StorageError:
                raise
            except FaceinvError as error:
                causes.append(f"{source}: {str(error).rstrip('.')}")
                continue
            except OSError:
                raise
            except Exception as error:  # A plugin's source that breaks must not keep the next one from being tried.
                causes.append(f"{source}: {type(error).__name__}: {' '.join(str(error).split())}")
                continue
            sha256 = file_sha256(part)
            if spec.sha256 and sha256 != spec.sha256:
                mismatch = self._reject(spec, part, sha256, source)
                causes.append(f"{source}: {str(mismatch).rstrip('.')}")
                continue
            os.replace(part, target)
            self._notify(f"{spec.name} is here: {target}")
            return sha256
        if mismatch is not None and len(causes) == 1:
            raise mismatch
        kind = WeightsError if mismatch is None else HashMismatchError
        raise kind(self._not_fetched(spec, causes))

    def _not_fetched(self, spec: WeightSpec, causes: Sequence[str]) -> str:
        by_hand = f"put {spec.filename} in {self.folder(spec.name)}"
        tried = f" ({'; '.join(causes)})" if causes else ""
        if self.offline:
            pull = f"faceinv weights pull {spec.name}"
            return (
                f"Weights '{spec.name}' are not here, and --offline is on{tried}; {by_hand}, or go online and: {pull}"
            )
        if not spec.sources:
            return f"Weights '{spec.name}' have no source to be fetched from; {by_hand}."
        return f"Weights '{spec.name}' could not be fetched{tried}; try again later, or {by_hand}."

    def _reject(self, spec: WeightSpec, path: Path, sha256: str, source: str = "") -> HashMismatchError:
        """Keep a wrong file aside, and return the error that says so."""
        aside = path.with_name(f"{spec.filename}.rejected")
        os.replace(path, aside)
        _note(path).unlink(missing_ok=True)
        self._in_use.pop(spec.name, None)
        came = f" from {source}" if source else f" at {path}"
        return HashMismatchError(
            f"Weights '{spec.name}': the file{came} has SHA-256 {sha256}, but {spec.sha256} is pinned; it was kept "
            f"aside as {aside}. To fetch it anew: faceinv weights pull {spec.name}"
        )

    def _require_trust(self, what: str, path: Path, sha256: str) -> None:
        """Raise unless ``sha256`` was trusted, now or before; remember that it was."""
        marker = self.cache / "weights" / "trusted" / f"{sha256}.json"
        if marker.is_file():
            return
        fact = f"No hash is published for {what}, so {path} cannot be checked; its SHA-256 is {sha256}."
        if sha256 not in self._trusted and not (self._confirm and self._confirm(f"{fact} Do you trust this file?")):
            raise WeightsError(f"{fact} If it is the file you mean: faceinv --trust-sha256 {sha256} COMMAND …")
        with self._storage():
            marker.parent.mkdir(parents=True, exist_ok=True)
            _write_json(marker, {"weights": what, "file": path.name})

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self.cache
            raise StorageError(
                f"{where} cannot be used: {error.strerror or error}. Free space or mend the permissions there, or set "
                "FACEINV_CACHE to another folder."
            ) from error


def _scheme(source: str) -> str:
    return source.partition(":")[0]


def _checked_sha256(given: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        raise UsageError(f"--trust-sha256 {given}: a SHA-256 is 64 hex digits, this has {len(given)} characters.")
    return given.lower()


def _shipped(spec: WeightSpec) -> Path | None:
    """Return a file that ships with the plugin and has no pin: it is as trusted as the code beside it.

    It is used where it lies, since a copy in the cache would not follow an update of the plugin.
    """
    if spec.sha256:
        return None
    from faceinv.weights.sources.local import packaged_file

    for source in spec.sources:
        if _scheme(source) == "package":
            with contextlib.suppress(WeightsError):
                return packaged_file(source.partition(":")[2])
    return None


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _write_note(path: Path, sha256: str) -> None:
    """Remember that the file has this hash as long as its size and time of change stay what they are."""
    status = path.stat()
    # A cache that others fill may be read-only: then the file is hashed at each use.
    with contextlib.suppress(PermissionError):
        _write_json(_note(path), {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns})


def _read_note(path: Path) -> str | None:
    """Return the hash that was found for the file as it is now, if it was ever hashed."""
    try:
        note = json.loads(_note(path).read_bytes())
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not isinstance(note, dict) or (note.get("size"), note.get("mtime_ns")) != (status.st_size, status.st_mtime_ns):
        return None
    sha256 = note.get("sha256")
    return sha256 if isinstance(sha256, str) else None


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value))
