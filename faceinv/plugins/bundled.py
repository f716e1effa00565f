"""Which bundled distribution declares a name, for the hint when it is not installed."""

from __future__ import annotations

import tomllib
from pathlib import Path


def bundled() -> dict[str, dict[str, list[str]]]:
    """Return the names that each plugin of each bundled distribution declares, without their tags."""
    return tomllib.loads(Path(__file__).with_name("bundled.toml").read_text(encoding="utf-8"))


def distribution_of(name: str) -> str | None:
    """Return the bundled distribution that declares ``name``, or ``None``."""
    bare = name.partition(".")[0]
    for distribution, plugins in bundled().items():
        if any(bare in names for names in plugins.values()):
            return distribution
    return None
