"""From a text to a seed: streams that are named cannot meet by accident."""

from __future__ import annotations

import hashlib


def seed_of(name: str) -> int:
    """Return the 63-bit seed of the stream called ``name``, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "little") >> 1
