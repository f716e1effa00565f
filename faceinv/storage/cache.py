"""The folder that weights and trained networks are kept in."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return ``FACEINV_CACHE``, or the user's cache folder for faceinv."""
    chosen = os.environ.get("FACEINV_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("faceinv")
