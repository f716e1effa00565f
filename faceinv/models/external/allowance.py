"""How much a service may be asked, counted over all processes and runs that share the cache folder."""

from __future__ import annotations

import json
import time
from pathlib import Path

import filelock

from faceinv.errors import InputError
from faceinv.storage.atomic import write_atomically
from faceinv.storage.cache import cache_folder
from faceinv.storage.hashing import fingerprint
from faceinv.storage.regular import open_regular


class Allowance:
    """Images that a service may be sent, and requests per second.

    Args:
        what: The service, for messages.
        asked: What identifies it, such as its address; only a hash of this is stored.
        queries: Most images; 0 for no limit.
        rate: Most requests per second; 0 for no limit.
    """

    def __init__(self, what: str, asked: str, queries: int, rate: float) -> None:
        self._what, self._queries, self._rate = what, queries, rate
        self.path: Path = cache_folder() / "services" / f"{fingerprint({'asked': asked})[:16]}.json"

    def take(self, images: int) -> None:
        """Count one request with this many images, and wait until it may be sent.

        Raises:
            InputError: if it would exceed the number of images, or the count is damaged.
            StorageError: if the count cannot be written.
        """
        if not self._queries and not self._rate:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(f"{self.path}.lock"):
            sent, free = self._read()
            if self._queries and sent + images > self._queries:
                raise InputError(
                    f"{self._what} was sent {sent:,} of the {self._queries:,} images that it may be sent ('queries' in "
                    f"its YAML file); what was computed is kept. To go on, raise 'queries', or delete the count in "
                    f"{self.path}."
                )
            now = time.time()
            # A clock that was set back must not make anybody wait for hours.
            begin = min(max(now, free), now + 60) if self._rate else now
            state = {"sent": sent + images, "free": begin + 1 / self._rate if self._rate else begin}
            write_atomically(self.path, json.dumps(state).encode(), synchronise=False)
        time.sleep(max(0.0, begin - time.time()))

    def _read(self) -> tuple[int, float]:
        """Return the number of images sent so far, and the time from which the next request may be sent."""
        if not self.path.exists():
            return 0, 0.0
        try:
            with open_regular(self.path) as file:
                state = json.loads(file.read(1000))
            return int(state["sent"]), float(state["free"])
        except (OSError, ValueError, KeyError, TypeError):
            raise InputError(f"The count of images sent in {self.path} is damaged; delete it to begin anew.") from None
