"""The folder of cached weights and trained networks."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_folder() -> Path:
    """Return ``FACEINV_CACHE``, or the cache folder of the user."""
    chosen = os.environ.get("FACEINV_CACHE")
    return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("faceinv")
