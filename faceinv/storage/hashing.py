"""Hashes of files and values, and seeds derived from names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from faceinv.storage.regular import open_regular


def seed_of(name: str) -> int:
    """Return the 63-bit seed of the random stream ``name``, the same in every process."""
    return int.from_bytes(hashlib.sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "little") >> 1


def fingerprint(parts: Mapping[str, Any]) -> str:
    """Return a short hash of ``parts``, the same in every process."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def file_sha256(path: str | Path) -> str:
    """Return the SHA-256 of a regular file, as 64 hex digits."""
    with open_regular(path) as file:
        return stream_sha256(file)


def stream_sha256(file: BinaryIO) -> str:
    """Return the SHA-256 of the rest of an open file."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()
