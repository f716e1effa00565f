"""The store of weights files: fetched on first use, verified by SHA-256, kept in a cache folder.

The store hashes and copies files; it never unpickles or decodes them.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import inspect
import json
import os
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import filelock

from faceinv.contracts.specs import WeightSpec
from faceinv.errors import FaceinvError, HashMismatchError, StorageError, WeightsError
from faceinv.plugins.external import is_external
from faceinv.plugins.host import Host
from faceinv.plugins.registry import load_target
from faceinv.storage.atomic import replacing
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import file_sha256
from faceinv.weights.sources.base import Progress
from faceinv.weights.trust import Trust

#: Schemes of the sources that need no network.
LOCAL = ("file", "package")


def human_size(size: int) -> str:
    """Format ``size``, in bytes, for people: ``"13.3 MB"``."""
    number, units = float(size), ["B", "kB", "MB", "GB", "TB"]
    while number >= 999.5 and len(units) > 1:
        number, units = number / 1000, units[1:]
    return f"{number:.0f} {units[0]}" if units[0] == "B" or number >= 99.95 else f"{number:.1f} {units[0]}"


class WeightStore:
    """The local copies of the weights files that plugins declare.

    Args:
        host: The plugins, which declare the files and the sources to fetch them from.
        cache: Folder to keep files in (in its sub-folder ``weights``); :func:`cache_folder` if ``None``.
        offline: Do not use the network.
        trusted: SHA-256 of files to accept although no hash is published for them.
        notify: Called with one line of text: what is fetched, under which licence, and where it is saved.
        confirm: Asks the user whether to trust a file without a published hash; ``None`` if nobody can be asked.
        progress: Returns, for a label, a context that yields a callback for a download's progress.

    Raises:
        UsageError: if one of ``trusted`` is not a SHA-256.
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
        self._trust = Trust(self.cache / "weights" / "trusted", trusted, confirm)
        self._notify = notify or (lambda text: None)
        self._progress = progress or (lambda label: contextlib.nullcontext(lambda done, total: None))
        self._in_use: dict[str, tuple[Path, str]] = {}

    def path(self, name: str) -> Path:
        """Return the verified local file of ``name``, fetching it on first use.

        Raises:
            UnknownNameError: if no plugin declares it.
            HashMismatchError: if the file is not the pinned one; it is set aside.
            WeightsError: if no source has it, the store is ``offline``, or its hash is not trusted.
            StorageError: if the cache folder cannot be written to.
        """
        return self._use(self.host.spec("weights", name))[0]

    def sha256(self, name: str) -> str:
        """Return the SHA-256 of the file in use under ``name``, fetching it on first use."""
        return self._use(self.host.spec("weights", name))[1]

    def is_here(self, name: str) -> bool:
        """Return whether the file is on this machine, without hashing it or using the network."""
        return self.location(name) is not None

    def location(self, name: str) -> Path | None:
        """Return the path of the file of ``name``, unverified, or ``None`` if it is not on this machine."""
        spec: WeightSpec = self.host.spec("weights", name)
        if spec.name in self._in_use:
            return self._in_use[spec.name][0]
        return _shipped(spec) or self._cached(spec)

    def folder(self, name: str) -> Path:
        """Return the folder that keeps the file of ``name``."""
        return self.cache / "weights" / re.sub(r"[^\w.+-]", "-", name.replace("/", "--")).lstrip(".")

    @property
    def asks(self) -> bool:
        """Whether the user is asked about files that are not trusted."""
        return self._trust.asks

    def adopt(self, names: Sequence[str], file: Path) -> Path:
        """Use a user's own ``file`` in place of the declared files ``names``, and return it.

        Unless it is one of the published files, the user must trust it first.

        Raises:
            UntrustedError: if the user does not trust it.
            WeightsError: if the file is missing, empty or unreadable.
            StorageError: if the cache folder, which records the trust, cannot be written to.
        """
        specs = self.host.weights(names)
        with self._storage():
            sha256 = self._trust.check_own_file(specs, file)
        for spec in specs:
            self._in_use[spec.name] = (file, sha256)
        return file

    def vouch(self, name: str, file: Path) -> None:
        """Trust a ``file`` that was just made on this machine, to be used in place of the declared file ``name``.

        Raises:
            StorageError: if the cache folder cannot be written to.
        """
        with self._storage():
            self._trust.remember(name, file, file_sha256(file))

    def verify(self, name: str) -> str | None:
        """Hash the file of ``name`` again and return its SHA-256, or ``None`` if it is not on this machine.

        Raises:
            HashMismatchError: if it is not the pinned file; it is set aside.
            StorageError: if the cache folder cannot be written to.
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
                self._in_use[spec.name] = (shipped, self._checked(spec, shipped))
            else:
                path = self._target(spec)
                with self._storage():
                    sha256 = self._known(spec, path) or self._obtain(spec, path)
                    if not spec.sha256:
                        self._trust.require(spec.name, path, sha256)
                if spec.origin and is_external(self.host.owner("weights", spec.name)):
                    self._notify(spec.origin)
                self._in_use[spec.name] = (path, sha256)
        return self._in_use[spec.name]

    def _checked(self, spec: WeightSpec, path: Path) -> str:
        """Return the SHA-256 of a file that is used where it is, once the user trusts what it may do."""
        try:
            sha256 = file_sha256(path)
        except OSError as error:
            raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from None
        if spec.sha256 and sha256 != spec.sha256:
            raise HashMismatchError(f"{path} has changed since this command began; run it again.")
        if spec.code:
            with self._storage():
                self._trust.require_code(path, sha256)
        if spec.sha256 and spec.origin:
            self._notify(spec.origin)
        return sha256

    def _target(self, spec: WeightSpec) -> Path:
        # The hash in the file's name keeps two releases under one name apart.
        return self.folder(spec.name) / (f"{spec.sha256[:12]}-{spec.filename}" if spec.sha256 else spec.filename)

    def _cached(self, spec: WeightSpec) -> Path | None:
        """Return the file in the cache folder, or one that the user put there by hand."""
        candidates = (self._target(spec), self.folder(spec.name) / spec.filename)
        return next((path for path in candidates if path.is_file()), None)

    def _known(self, spec: WeightSpec, path: Path) -> str | None:
        """Return the SHA-256 of ``path`` if it is the right file; needs no lock and no writable folder."""
        sha256 = _read_note(path)
        if sha256 is None and path.is_file():
            sha256 = file_sha256(path)
            if not spec.sha256 or sha256 == spec.sha256:
                _write_note(path, sha256)
        return sha256 if not spec.sha256 or sha256 == spec.sha256 else None

    def _obtain(self, spec: WeightSpec, target: Path) -> str:
        """Verify the file in the folder, or fetch it, and return its SHA-256; one process at a time."""
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
        """Fetch ``target`` from the first source that works, and return its SHA-256."""
        sources = [source for source in spec.sources if not self.offline or _scheme(source) in LOCAL]
        causes: list[str] = []
        mismatch: HashMismatchError | None = None
        for source in sources:
            # One name per source: a partial download must not be resumed from another source.
            part = target.with_name(f"{target.name}.{hashlib.sha256(source.encode()).hexdigest()[:8]}.part")
            size = f", {human_size(spec.size)}" if spec.size else ""
            self._notify(f"Fetching {spec.name}{size}, from {source}. Licence: {spec.licence}.")
            try:
                fetch = load_target(self.host.spec("weight source", _scheme(source)))
                offered = {"size": spec.size, "notify": self._notify}
                taken = {name: offered[name] for name in offered if name in inspect.signature(fetch).parameters}
                with self._progress(spec.name) as progress:
                    fetch(source.partition(":")[2], part, progress, **taken)
            except StorageError:
                raise
            except FaceinvError as error:
                causes.append(f"{source}: {str(error).rstrip('.')}")
                continue
            except OSError:
                raise
            except Exception as error:  # A broken source of a plugin must not block the next one.
                causes.append(f"{source}: {type(error).__name__}: {' '.join(str(error).split())}")
                continue
            sha256 = file_sha256(part)
            if spec.sha256 and sha256 != spec.sha256:
                mismatch = self._reject(spec, part, sha256, source)
                causes.append(f"{source}: {str(mismatch).rstrip('.')}")
                continue
            os.replace(part, target)
            self._notify(f"Saved {spec.name} to {target}")
            return sha256
        if mismatch is not None and len(causes) == 1:
            raise mismatch
        kind = WeightsError if mismatch is None else HashMismatchError
        raise kind(self._not_fetched(spec, causes))

    def _not_fetched(self, spec: WeightSpec, causes: Sequence[str]) -> str:
        by_hand = f"put {spec.filename} in {self.folder(spec.name)}"
        tried = f" ({'; '.join(causes)})" if causes else ""
        if self.offline:
            owner = self.host.owner("weights", spec.name)
            pull = f"faceinv weights pull {owner if is_external(owner) else spec.name}"
            return (
                f"Weights '{spec.name}' are not on this machine, and --offline is on{tried}; {by_hand}, or go online "
                f"and run: {pull}"
            )
        if not spec.sources:
            return f"Weights '{spec.name}' cannot be fetched: no source is known; {by_hand}."
        return f"Weights '{spec.name}' could not be fetched{tried}; try again later, or {by_hand}."

    def _reject(self, spec: WeightSpec, path: Path, sha256: str, source: str = "") -> HashMismatchError:
        """Set a wrong file aside, and return the error to raise."""
        aside = path.with_name(f"{spec.filename}.rejected")
        os.replace(path, aside)
        _note(path).unlink(missing_ok=True)
        self._in_use.pop(spec.name, None)
        came = f" from {source}" if source else f" at {path}"
        return HashMismatchError(
            f"Weights '{spec.name}': the file{came} has SHA-256 {sha256}, but {spec.sha256} is pinned. It was set "
            f"aside as {aside}. To fetch it again: faceinv weights pull {spec.name}"
        )

    @contextlib.contextmanager
    def _storage(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self.cache
            raise StorageError(
                f"{where} cannot be used: {error.strerror or error}. Free space or fix the permissions there, or set "
                "FACEINV_CACHE to another folder."
            ) from error


def _scheme(source: str) -> str:
    return source.partition(":")[0]


def _shipped(spec: WeightSpec) -> Path | None:
    """Return a file that is used where it is: a user's own, or one without a pin that ships with its plugin.

    The latter is as trusted as the plugin's code; a copy in the cache would not follow an update of the plugin.
    """
    if spec.sources[:1] and _scheme(spec.sources[0]) == "here":
        return Path(spec.sources[0].partition(":")[2])
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
    """Remember the file's hash, which holds while its size and modification time stay the same."""
    status = path.stat()
    note = {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns}
    try:
        with replacing(_note(path)) as temporary:
            temporary.write_text(json.dumps(note))
    except OSError as error:
        # A shared cache may be a read-only folder or file system: then the file is hashed at each use.
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise


def _read_note(path: Path) -> str | None:
    """Return the remembered hash of the file, or ``None`` if the file changed or was never hashed."""
    try:
        note = json.loads(_note(path).read_bytes())
        status = path.stat()
    except (OSError, ValueError):
        return None
    if not isinstance(note, dict) or (note.get("size"), note.get("mtime_ns")) != (status.st_size, status.st_mtime_ns):
        return None
    sha256 = note.get("sha256")
    return sha256 if isinstance(sha256, str) else None
