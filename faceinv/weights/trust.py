"""Trust in files without a published hash, and users' own files in place of published ones."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from faceinv.contracts.specs import WeightSpec
from faceinv.errors import UntrustedError, UsageError, WeightsError
from faceinv.storage.atomic import replacing
from faceinv.storage.hashing import file_sha256


class Trust:
    """The files that the user trusts, by SHA-256, because nobody published a hash for them.

    Args:
        folder: Folder that keeps the user's decisions, one small file each.
        trusted: SHA-256 of files to trust without asking.
        confirm: Asks the user whether to trust a file; ``None`` if nobody can be asked.

    Raises:
        UsageError: if one of ``trusted`` is not a SHA-256.
    """

    def __init__(
        self, folder: Path, trusted: Collection[str] = (), confirm: Callable[[str], bool] | None = None
    ) -> None:
        self._folder = folder
        self._trusted = {_checked_sha256(given) for given in trusted}
        self._confirm = confirm

    @property
    def asks(self) -> bool:
        """Whether the user can be asked."""
        return self._confirm is not None

    def require(self, what: str, path: Path, sha256: str, published: Collection[str] = ()) -> None:
        """Raise unless the user trusts the file, now or earlier; remember the decision.

        Args:
            what: The weights' name, for messages.
            path: The file.
            sha256: The file's hash.
            published: The published hashes, all different; without any the file cannot be checked.

        Raises:
            UntrustedError: if the user does not trust it.
            OSError: if the decision cannot be written down.
        """
        marker = self._folder / f"{sha256}.json"
        if marker.is_file():
            return
        fact = f"No hash is published for {what}, so {path} cannot be checked; its SHA-256 is {sha256}."
        if published:
            fact = (
                f"{path} is NOT the published file of {what}: its SHA-256 is {sha256}, not {' or '.join(published)}. "
                "It may be damaged, altered, another release, or a network that you trained."
            )
        if sha256 not in self._trusted and not (self._confirm and self._confirm(f"{fact} Do you trust this file?")):
            raise UntrustedError({sha256: fact})
        self.remember(what, path, sha256)

    def require_code(self, path: Path, sha256: str) -> None:
        """Raise unless the user trusts a file that can run code when it is read; remember the decision.

        Trust in a file of numbers is not enough.

        Raises:
            UntrustedError: if the user does not trust it.
            OSError: if the decision cannot be written down.
        """
        if (self._folder / f"{sha256}-code.json").is_file():
            return
        fact = f"{path} is a program: reading it runs code that is in it; its SHA-256 is {sha256}."
        if sha256 not in self._trusted and not (self._confirm and self._confirm(f"{fact} Do you trust this file?")):
            raise UntrustedError({sha256: fact})
        self.remember("a program", path, sha256, "-code")

    def remember(self, what: str, path: Path, sha256: str, mark: str = "") -> None:
        """Trust a file from now on.

        Raises:
            OSError: if that cannot be written down.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with replacing(self._folder / f"{sha256}{mark}.json") as temporary:
            temporary.write_text(json.dumps({"weights": what, "file": path.name}))

    def check_own_file(self, specs: Sequence[WeightSpec], file: Path) -> str:
        """Return the SHA-256 of a user's own ``file`` that is to replace the declared files ``specs``.

        Unless it is one of the published files, the user must trust it: it is known to be another file, or no hash is
        published that it could be checked with.

        Raises:
            UntrustedError: if the user does not trust it.
            WeightsError: if the file is missing, empty or unreadable.
            OSError: if the decision to trust it cannot be written down.
        """
        try:
            sha256 = file_sha256(file)
            if file.stat().st_size == 0:
                raise WeightsError(f"--weights {file}: the file is empty.")
        except IsADirectoryError:
            raise WeightsError(f"--weights {file} is a folder; name the weights file in it.") from None
        except OSError as error:
            raise WeightsError(f"--weights {file} cannot be read: {error.strerror or error}.") from None
        pins = {spec.sha256 for spec in specs}
        if sha256 not in pins:
            what = " and ".join(spec.name for spec in specs) or "a network that declares no weights file"
            self.require(what, file, sha256, () if "" in pins else sorted(pins))
        return sha256


class Refusals:
    """Refusals of several files, gathered so that one message names them all.

    Use it as a context around each use of a file, and call :meth:`end` after the last.

    Args:
        asks: Whether the user can be asked about each file: then the first "no" ends it.
    """

    def __init__(self, *, asks: bool) -> None:
        self._asks = asks
        self._facts: dict[str, str] = {}

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Keep a refusal in the block, for :meth:`end`."""
        try:
            yield
        except UntrustedError as error:
            if self._asks:
                raise
            self._facts |= error.facts

    def end(self) -> None:
        """Raise one :class:`UntrustedError` for everything that was refused."""
        if self._facts:
            raise UntrustedError(self._facts)


def _checked_sha256(given: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{64}", given):
        raise UsageError(f"--trust-sha256 {given}: a SHA-256 has 64 hex digits, this has {len(given)} characters.")
    return given.lower()
